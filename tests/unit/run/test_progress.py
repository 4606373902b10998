"""Where progress cannot be shown, nothing is said of it."""

from __future__ import annotations

import sys
import warnings

import pytest

from dreamframe.run import progress
from dreamframe.run.stats import RunStats


def test_a_notebook_without_widgets_gets_no_warning_and_no_empty_field(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr(progress, "SHOW_AFTER_S", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        progress.Progress(RunStats(), True)._show()
    assert capsys.readouterr() == ("", "")
