"""What the limits of an account are called in session folders."""

from __future__ import annotations

from typing import Any

import dreamframe as dr
from dreamframe.models.api.limits import limits_of


def name(**settings: Any) -> str | None:
    return limits_of(dr.OpenAI("m", **{"api_key": "sk-one", "rpm": 600.0, **settings})).name


def test_one_account_has_one_name_however_it_is_asked() -> None:
    assert name() == name(concurrency=3, timeout_s=7.0, temperature=0.5)
    assert len(str(name())) == 4, "too short to try keys on"


def test_other_accounts_and_other_limits_have_others() -> None:
    assert len({name(), name(api_key="sk-two"), name(base_url="http://127.0.0.1:1/v1"), name(rpm=60.0), name(tpm=1000.0)}) == 5


def test_without_a_limit_there_is_nothing_to_share() -> None:
    assert name(rpm=None) is None
