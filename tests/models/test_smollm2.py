"""SmolLM2-135M itself, in both engines: schemas hold, answers do not depend on the batch, a tuned adapter is used and kept."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.models.llms.llamacpp import LlamaCpp
from tests.asking import ask_all, texts
from tests.models.test_verbs import THINGS

pytestmark = pytest.mark.models

REVIEWS = [row["review"] for row in csv.DictReader((Path(__file__).parents[2] / "examples" / "reviews.csv").open())]
MOODS = Literal["positive", "negative"]


def llamacpp(**settings: Any) -> LlamaCpp:
    return dr.SmolLM2(**{"temperature": 0, **settings})


def transformers(**settings: Any) -> dr.Transformers:
    return dr.Transformers(dr.SmolLM2(), **{"temperature": 0, **settings})


ENGINES = [pytest.param(llamacpp, id="llamacpp"), pytest.param(transformers, id="transformers")]


@pytest.mark.parametrize("engine", ENGINES)
def test_twenty_rows_under_a_schema_are_twenty_typed_answers(engine: Any) -> None:
    reviews = pl.DataFrame({"review": REVIEWS[20:], "i": range(20)})
    rows = dr.frame(reviews).prompt(engine(), "{i}. {review}\n\nIs this review positive or negative?", schema=MOODS, into="mood")
    with dr.Session(None) as session:
        moods = rows.collect()["mood"]
        assert session.usage()["calls"] == 20
    assert moods.dtype == pl.Enum(["positive", "negative"])
    assert moods.null_count() == 0
    assert moods.n_unique() == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_plain_moods_are_read_right(engine: Any) -> None:
    plain = ["I love it, it is wonderful.", "It broke at once and I hate it.", "I am very happy with it, great quality.", "Terrible, a waste of money."]
    rows = dr.frame({"review": plain}).prompt(engine(), "{review}\n\nIs this review positive or negative?", schema=MOODS, into="mood")
    with dr.Session(None):
        assert rows.collect()["mood"].to_list() == ["positive", "negative", "positive", "negative"]


def test_how_likely_a_label_is_tells_good_from_bad_and_is_the_same_in_both_engines() -> None:
    """The engines round otherwise: llama.cpp multiplies 4-bit weights with 8-bit numbers."""
    plain = ["I love it, it is wonderful.", "It broke at once and I hate it.", "I am very happy with it, great quality.", "Terrible, a waste of money."]
    positive = []
    for engine in (llamacpp, transformers):
        rows = dr.frame({"review": plain}).classify(engine(), MOODS, "review", into="mood", probability="p")
        with dr.Session(None):
            made = rows.collect()
        positive.append([p if mood == "positive" else 1 - p for mood, p in made.select("mood", "p").iter_rows()])
        assert (made["p"] >= 0.5).all()
    for a, b, c, d in positive:
        assert min(a, c) > max(b, d)
    assert positive[0] == pytest.approx(positive[1], abs=0.1)


def test_greedy_answers_do_not_depend_on_the_batch_in_transformers() -> None:
    prompts = [f"Name one thing in this text: {r}" for r in REVIEWS[20:27]]
    whole = texts(ask_all(transformers(max_tokens=6, batch_tokens=10_000), prompts))
    small = texts(ask_all(transformers(max_tokens=6, batch_tokens=150), prompts))
    order = random.Random(0).sample(range(7), 7)
    shuffled = texts(ask_all(transformers(max_tokens=6, batch_tokens=250), [prompts[i] for i in order]))
    assert small == whole
    assert shuffled == [whole[i] for i in order]


def test_greedy_answers_of_llama_cpp_differ_from_slot_to_slot_in_few_rows_only() -> None:
    prompts = [f"Name one thing in this text: {r}" for r in REVIEWS[24:32]]
    alone = texts(ask_all(llamacpp(max_tokens=6, slots=1), prompts))
    together = texts(ask_all(llamacpp(max_tokens=6, slots=8), prompts))
    assert sum(a != b for a, b in zip(alone, together, strict=True)) <= 1  # 4-bit kernels round by batch shape, and a near tie falls the other way


def test_both_engines_count_the_same_prompt_tokens() -> None:
    prompts = REVIEWS[:3]
    ours = [a.n_in for a in ask_all(llamacpp(max_tokens=1), prompts)]
    assert ours == [a.n_in for a in ask_all(transformers(max_tokens=1), prompts)]


def test_stop_strings_and_the_system_prompt_reach_the_model() -> None:
    for engine in (llamacpp, transformers):
        (answer,) = ask_all(engine(max_tokens=40, stop=["."], system="You answer in one sentence."), ["Tell me about bread."])
        assert "." not in answer.text
        assert answer.finish == "stop"


def test_a_tuned_adapter_is_used_and_kept(tmp_path: Path) -> None:
    from peft import LoraConfig

    frame = dr.frame({"q": [f"{a} plus {b}?" for a in range(2) for b in range(2)], "a": ["bananas"] * 4})
    sft = dr.SFT(dr.SmolLM2(), peft=LoraConfig(r=4, target_modules=["q_proj", "v_proj"]), steps=8, batch_size=2, learning_rate=1e-2)
    model = frame.train(sft, prompt="q", completion="a")
    asked = dr.frame({"q": ["1 plus 2?", "Who are you?"]})
    tuned = asked.prompt(model.llm(temperature=0, max_tokens=4), "{q}")
    base = asked.prompt(transformers(max_tokens=4), "{q}")
    with dr.Session(tmp_path / "s") as session:
        answers = tuned.collect()["answer"].to_list()
        assert answers != base.collect()["answer"].to_list()
        assert session.usage()["trained"] == 1
        assert any("banana" in a for a in answers)
    with dr.Session(tmp_path / "s") as session:
        assert tuned.collect()["answer"].to_list() == answers
        assert (session.usage()["calls"], session.usage()["trained"]) == (0, 0)


def test_examples_fit_into_what_a_gguf_file_reads() -> None:
    shots = [{"essay": f"On {t}, at some length, and then once more on {t}", "topic": t} for t in THINGS]
    llm = dr.SmolLM2(temperature=0, max_tokens=4, n_ctx=512)
    with dr.Session(None) as session:
        dr.frame({"essay": ["On tea"]}).prompt(llm, dr.FewShot("Name the topic.", input="essay", output="topic", examples=shots)).collect()
        assert 440 < session.usage()["tokens_in"] <= 508
