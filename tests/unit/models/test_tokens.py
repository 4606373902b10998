"""Tokens without a tokenizer: the usual number holds for prose, and no more is ever set aside than a request may have by it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamframe.models.local.weights import minilm_folder
from dreamframe.models.tokens import CHARS, MARKS, at_most, usual

ROOT = Path(__file__).resolve().parents[3]


@given(st.text(), st.text())
def test_a_longer_text_has_no_fewer_and_two_have_those_of_both(a: str, b: str) -> None:
    assert usual(a) <= usual(a + b) <= usual(a) + usual(b)
    assert at_most(a, b) == at_most(a.encode("utf-8", "replace").decode() + b) == at_most(a) + at_most(b) - MARKS


@given(st.text())
def test_the_usual_number_is_never_more_than_the_most(text: str) -> None:
    assert usual(text) <= at_most(text)
    assert usual(text) * CHARS >= len(text)


@pytest.mark.models
def test_prose_has_about_as_many_as_are_told_and_never_more_than_the_most() -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(minilm_folder()), trust_remote_code=False)
    prose = re.findall(r'"([A-Z][^"]{20,80}\.)"', (ROOT / "tests/models/sentences.py").read_text())
    assert len(prose) > 50
    real = sum(len(tokenizer(s, add_special_tokens=False)["input_ids"]) for s in prose)
    assert 1.0 <= usual(" ".join(prose)) / real <= 1.6
    assert all(len(tokenizer(s)["input_ids"]) <= at_most(s) for s in prose)
