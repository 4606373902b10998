"""The words for how an answer ends: each of providers' words means one of ours, and none that is not known counts as an end."""

from __future__ import annotations

import pytest

from dreamframe.store.ends import BROKEN, ENDS, OTHERS, end_of, is_end


def test_no_word_of_a_provider_means_two_ends() -> None:
    spelled = [word for others in OTHERS.values() for word in others.split()]
    assert len(spelled) == len(set(spelled))
    assert not set(spelled) & set(OTHERS)


@pytest.mark.parametrize("write", [str.upper, str.title, lambda w: f"finish_reason_{w}", lambda w: f"STOP_REASON.{w}", lambda w: w.replace("_", "-")])
def test_a_word_is_known_however_it_is_written(write: object) -> None:
    assert callable(write)
    assert {word: end_of(write(word)) for word in ENDS} == ENDS


@pytest.mark.parametrize("word", ["", "moved on", "stopped by a moose", BROKEN])
def test_what_is_not_known_or_broke_off_is_not_an_end(word: str) -> None:
    assert not is_end(word)
