"""The cards of the nine recipes' plans, word for word, before anything ran; and one of a run."""

from __future__ import annotations

import re
from collections.abc import Callable

import polars as pl
import pytest

import dreamframe as dr
from tests.golden.files import Golden

GOLDEN = Golden("cards.txt")
GPT4 = dr.OpenAI("gpt-4", api_key="never shown")
SENTENCES = ["Tea is hot.", "Rain is wet.", "Ice is cold.", "Snow is white."]


def lora() -> object:
    from peft import LoraConfig

    return LoraConfig(r=8)


def abstracts() -> dr.Frame:
    ask = "Generate an arXiv abstract of an NLP research paper. Return just the abstract, no titles."
    made = dr.generate(GPT4, ask, n=1000, temperature=1.2, into="abstract")
    return made.prompt(GPT4, dr.Instruct("Given the abstract, write a tweet to summarize the work.", input="abstract"), into="tweet")


def tweets() -> dr.Model:
    train, validation = abstracts().split(train=0.9, validation=0.1)
    trainer = dr.Seq2Seq("google/t5-v1_1-base", peft=lora(), epochs=30, batch_size=8)
    return train.train(trainer, input="abstract", output="tweet", validation=validation)


def attribute(question: str, name: str) -> dr.Frame:
    asked = dr.frame({"q": [question]}).prompt(GPT4, "{q}", into=name).select(pl.col(name).str.split(","))
    return asked.explode(name).with_columns(pl.col(name).str.strip_chars())


def attributed() -> dr.Frame:
    parts = attribute("10 movies", "movie").join(attribute("10 elements", "element"), how="cross").join(attribute("10 adjectives", "style"), how="cross")
    asked = parts.repeat_to(1000).prompt(GPT4, "Write a {style} review of {movie} about {element}.", into="review")
    return asked.select("review").shuffle(seed=0)


def distilled() -> dr.Model:
    ask = dr.Instruct("Explain it like I'm 5.", input="title")
    qa = dr.frame({"title": ["Why is the sky blue?"] * 20}).head(10).prompt(GPT4, ask, into="answer")
    return qa.split(train=0.9, validation=0.1)["train"].train(dr.OpenAIFineTune("gpt-4o-mini"), input="title", output="answer")


def decomposed() -> dr.Frame:
    return dr.recipes.decompose(dr.frame({"question": ["Where was the author of Faust born?"]}), GPT4)


def sports() -> dr.Frame:
    return dr.frame({"article": ["They won."]}).head(1000).filter_by(GPT4, "Is the article about sports? Answer 'Yes' or 'No'.\n\n{article}")


def translated() -> dr.Frame:
    english, pool = dr.frame({"sentence": SENTENCES}), None
    for r in range(2):
        task = "Translate the sentence to Tamil."
        ask = dr.Instruct(task, input="sentence") if pool is None else dr.FewShot(task, input="sentence", output="tamil", examples=pool)
        asked = english.shard(2, r).prompt(GPT4, ask, into="tamil")
        pool = asked.similarity("sentence", "tamil", by=dr.MiniLM(), into="sim").sort("sim", descending=True).head(2)
    assert pool is not None
    return pool


def instructed() -> dr.Model:
    alpaca = dr.frame({"instruction": ["Name a tea."], "output": ["Assam"]})
    sft = dr.SFT("TinyLlama/TinyLlama-1.1B-Chat-v1.0", chat_template="### Instruction:\n{{prompt}}\n\n### Response:\n", peft=lora(), dtype="bfloat16")
    return alpaca.train(sft, prompt="instruction", completion="output")


def aligned() -> dr.Model:
    pairs = dr.frame({"question": ["Tea?"], "chosen": ["Yes."], "rejected": ["No."]})
    return pairs.train(dr.DPO("meta-llama/Llama-2-7b-chat-hf", peft=lora()), prompt="question", chosen="chosen", rejected="rejected")


def self_rewarded() -> dr.Model:
    base, prompts = "meta-llama/Llama-2-7b-chat-hf", dr.frame({"question": [f"Question {i}?" for i in range(40)]})
    llm, model = dr.Transformers(base), None
    for r in range(2):
        asked = prompts.shard(2, r).prompt(llm, "{question}", into="a", seed=0).prompt(llm, "{question}", into="b", seed=1)
        judged = asked.judge(llm, prompt="question", a="a", b="b", into="winner").to_preferences()
        t, v = judged.split(train=0.9, validation=0.1)
        model = t.train(dr.DPO(base, peft=lora()), validation=v)
        llm = dr.Transformers(base, adapter=model)
    assert model is not None
    return model


RECIPES: dict[str, Callable[[], dr.Frame | dr.Model]] = {
    "1 abstracts to tweets": tweets,
    "2 attributed reviews": attributed,
    "3 distillation by API": distilled,
    "4 question decompositions": decomposed,
    "5 sports articles": sports,
    "6 bootstrapped translation": translated,
    "7 instruction tuning": instructed,
    "8 aligning": aligned,
    "9 self-rewarding": self_rewarded,
}


def settled(card: str) -> str:
    """Without what differs between machines and days."""
    card = re.sub(r"\d{4}-\d\d-\d\d", "<day>", card)
    card = re.sub(r"dreamframe:(begin|end) [0-9a-f]{12}( \w+=[0-9a-f]{12})*", r"dreamframe:\1 <digests>", card)
    card = re.sub(r"Fingerprint of the plan: `\w+`", "Fingerprint of the plan: `<key>`", card)
    return re.sub(r"Versions: .*", "Versions: <versions>", re.sub(r"dreamframe==\S+", "dreamframe==<version>", card))


@pytest.mark.parametrize("name", RECIPES)
def test_the_card_of_a_recipe(name: str, session: dr.Session):
    card = RECIPES[name]().card("me/made")
    assert "never shown" not in card
    GOLDEN.check(name, settled(card))


def test_the_card_of_a_run_tells_what_happened(session: dr.Session):
    df = dr.frame({"t": ["tea", "rain"]}).prompt(dr.testing.Echo(), "{t}!", into="said").filter(pl.col("t") == "tea")
    df.collect()
    GOLDEN.check("a run", settled(df.card("me/made")))


def test_the_file_holds_these_cards_alone():
    GOLDEN.check_names([*RECIPES, "a run"])
