"""Warnings of libraries become notes while a run is shown; all others go their way."""

from __future__ import annotations

import warnings

import pytest

from dreamframe.run.notes import noted

LIBRARY = "/venv/lib/python3.11/site-packages/torch/nn/functional.py"


def warn_in(filename: str, text: str) -> None:
    warnings.warn_explicit(text, UserWarning, filename, 7, registry={})


def test_a_librarys_warning_is_a_note_once_in_one_line_without_secrets(recwarn: pytest.WarningsRecorder):
    notes: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with noted(notes, lambda text: text.replace("sk-1", "***")):
            for _ in range(2):
                warn_in(LIBRARY, "sk-1 is slow\x1b[2J here\nand here")
    assert notes == ["torch: *** is slow\\x1b[2J here"]
    assert not recwarn.list


def test_the_users_own_warnings_are_not_touched():
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        shown = warnings.showwarning
        notes: list[str] = []
        with noted(notes):
            assert warnings.showwarning is not shown
            warn_in("/home/ada/script.py", "mine")
        assert warnings.showwarning is shown
    assert notes == []
    assert [str(one.message) for one in heard] == ["mine"]


def test_a_block_that_records_warnings_inside_has_them():
    notes: list[str] = []
    with noted(notes), warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        warn_in(LIBRARY, "recorded")
    assert (notes, len(heard)) == ([], 1)
