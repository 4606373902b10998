"""Entering a session: it is the active one from then on, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import dreamframe as dr
from dreamframe.run.active import current


def test_a_session_that_cannot_be_entered_is_not_left_active():
    Path("newer").mkdir()
    Path("newer/session.json").write_text(json.dumps({"format": 99}))
    before = current()
    with pytest.raises(dr.errors.SessionFormatError), dr.Session("newer"):
        pass
    assert current() is before
