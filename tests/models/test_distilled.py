"""SmolLM2 as the strong model, a head over MiniLM as the cheap one: certified, kept, certified anew after an edit."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

import dreamframe as dr

pytestmark = pytest.mark.models

THINGS = ["kettle", "lamp", "chair", "phone", "blender", "jacket", "tent", "printer"]
SAID = [
    "I love it, it is wonderful", "it works perfectly, great quality", "my family is happy with it",
    "I hate it, it broke at once", "terrible, a waste of money", "it never worked and smells awful",
]  # fmt: skip
TEXTS = Random(0).sample([f"About this {thing}: {said}. {more}" for thing in THINGS for said in SAID for more in ("It was a gift.", "I use it daily.")], 80)


def judged(texts: list[str]) -> dr.Frame:
    ask = "{review}\n\nIs this review positive or negative?"
    distil = dr.Distil(dr.MiniLM(), labels=40, accuracy=0.6, delta=0.1)
    return dr.frame({"review": texts}).classify(dr.SmolLM2(temperature=0), ["positive", "negative"], "review", "mood", prompt=ask, distil=distil)


def asked(session: dr.Session) -> int:
    """Calls of the strong model in the last run."""
    return sum(step.calls for step in session.runs()[-1].steps if "SmolLM2" in step.model)


def test_a_head_over_minilm_spares_calls_of_smollm2(tmp_path: Path):
    with dr.Session(tmp_path) as session:
        rows = judged(TEXTS).collect()
        first = asked(session)
        told = next(step.told for step in session.runs()[-1].steps if step.told)
        assert (told["rows"], told["scored"]) == (80, 60)
        assert told["by_proxy"] > 0
        assert first == 80 - told["by_proxy"]
        assert rows["mood"].null_count() == 0
        assert judged(TEXTS).collect().equals(rows)
        assert session.runs()[-1].calls == 0
        edited = [text.replace("About", "On") if i % 20 == 0 else text for i, text in enumerate(TEXTS)]
        judged(edited).collect()
        by_label = {step.label: step.calls for step in session.runs()[-1].steps if "SmolLM2" in step.model}
        assert by_label["classify labels"] <= 4  # of the rows that it learns from, those that are new
        assert by_label["classify sample"] < told["sampled"]
