"""Cards: whole lineage, named conflicts, front matter the Hub reads, and no text that breaks out or tells a secret."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import dreamframe as dr
from dreamframe.cards.lineage import conflicts, licence_of_all, lineage
from dreamframe.cards.markdown import block, code, scrub, text
from dreamframe.models.provenance import Provenance

SECRET = "s3cret value/of+a=key"
NASTY = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]) | st.sampled_from("`|<>*_[]()#\\\n\r\x00\u202e&!-~:"), min_size=1, max_size=40)
HEADINGS = {"h1": 1, "h2": 6}  # of a data card


def parsed(card: str) -> tuple[dict[str, Any], list[Any]]:
    _, front, body = card.split("---\n", 2)
    return yaml.safe_load(front), MarkdownIt("commonmark").enable("table").parse(body)


def counts(tokens: list[Any], kind: str) -> int:
    return sum(t.type == kind for t in tokens)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=NASTY, name=NASTY.map(lambda n: n.replace("\0", "\1")), prompt=NASTY, cut=st.integers(0, 40))
def test_no_text_breaks_a_card_or_tells_a_secret(value: str, name: str, prompt: str, cut: int):
    ask = dr.Jinja("{% raw %}" + prompt.replace("{%", "").replace("%}", "") + SECRET + "{% endraw %}") if prompt.strip() else "x"
    with dr.Session(None):
        df = dr.frame({name: [value[:cut] + SECRET + value[cut:], value]}).prompt(dr.testing.Echo(), ask, into=f"{name}said", name=f"{name}{SECRET}"[:60])
        df = df.prompt(dr.OpenAI("gpt-4o", api_key=SECRET), "x", into="__other").head(0)
        plain = dr.frame({"a": ["b"]}).prompt(dr.testing.Echo(), "x", into="said", name="n").prompt(dr.OpenAI("m"), "x", into="__other").head(0)
        df.collect()
        plain.collect()
        card, other = df.card("me/made"), plain.card("me/made")
    front, tokens = parsed(card)
    _, expected = parsed(other)
    assert front["tags"] == ["synthetic", "dreamframe"]
    assert SECRET not in card
    for kind in ("heading_open", "table_open", "html_block", "link_open", "tr_open"):
        assert counts(tokens, kind) == counts(expected, kind), kind
    inner = [c for t in tokens for c in t.children or ()]
    assert not [t for t in inner if t.type in ("html_inline", "image")]


def model_card(value: str, name: str, label: str) -> str:
    """The card of a model that is to be trained on a column of this name, which holds this value."""
    rows = dr.frame({name: [value, value]}).prompt(dr.OpenAI("gpt-4o", api_key=SECRET), "x", into="__said", name=label, on_error="null")
    trainer = dr.SFT("org/base", steps=1, chat_template=value, args={"run_name": value}, peft={"r": 4, "target_modules": value})
    with dr.Session(None):
        return rows.train(trainer, prompt=name, completion="__said").card("me/made")


@settings(max_examples=30, deadline=None)
@given(value=NASTY, name=NASTY.map(lambda n: n.replace("\0", "\1")), label=NASTY)
def test_no_text_breaks_the_card_of_a_model(value: str, name: str, label: str):
    front, tokens = parsed(model_card(value + SECRET, name, label + SECRET))
    plain_front, expected = parsed(model_card("value", "name", "label"))
    assert {k: v for k, v in front.items() if k != "widget"} == {k: v for k, v in plain_front.items() if k != "widget"}
    assert front["base_model"] == "org/base"
    for kind in ("heading_open", "table_open", "html_block", "link_open", "tr_open"):
        assert counts(tokens, kind) == counts(expected, kind), kind
    inner = [c for t in tokens for c in t.children or ()]
    assert not [t for t in inner if t.type in ("html_inline", "image")]
    assert SECRET not in repr(tokens)


def test_an_adapter_is_loaded_over_its_base():
    rows = dr.frame({"q": ["a"], "a": ["b"]})
    with dr.Session(None):
        adapter = rows.train(dr.SFT(dr.SmolLM2(), peft={"r": 4}, steps=1), prompt="q", completion="a")
        further = rows.train(dr.SFT(adapter, steps=1), prompt="q", completion="a")
        card, second = adapter.card("me/adder"), further.card("me/adder")
    assert parsed(card)[0]["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert 'llm = dr.Transformers("HuggingFaceTB/SmolLM2-135M-Instruct", adapter="me/adder")' in card
    assert parsed(second)[0]["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert 'adapter="me/adder")' in second, "it goes on as an adapter"


@settings(max_examples=200, deadline=None)
@given(NASTY)
def test_code_text_and_blocks_hold_what_they_are_given(value: str):
    md = MarkdownIt("commonmark")
    assert [t.type for t in md.parse(block(value))] == ["fence"]
    children = md.parseInline(f"a {code(value)} z")[0].children or []
    assert [t.type for t in children] == ["text", "code_inline", "text"]
    assert {t.type for t in md.parseInline(f"a {text(value)} z")[0].children or []} <= {"text", "text_special"}


@pytest.mark.parametrize(
    ("said", "shown"),
    [("sk-abcdefgh1234567", "***"), ("/home/ann/x/rows.csv", "rows.csv"), ("https://ann:pw@host/x", "https://***@host/x"), ("Sentence: a/b", "Sentence: a/b")]
    + [(plain, plain) for plain in ("a task-oriented risk-assessment", "import hf_classifier", "sk-learn")],
)
def test_keys_and_folders_are_scrubbed(said: str, shown: str):
    assert scrub(said) == shown


def test_lineage_goes_through_every_input():
    llm = dr.testing.Echo()
    left = dr.frame({"k": [1], "left": ["a"]})
    right = dr.frame({"k": [1], "right": ["b"]}).prompt(dr.OpenAI("gpt-4o"), "{right}", into="said")
    shots = dr.frame({"left": ["c"], "answer": ["d"], "shot": ["e"]})
    ask = dr.FewShot("Do it.", input="left", output="answer", examples=shots)
    validation = dr.frame({"left": ["v"], "out": ["w"], "held": ["x"]})
    model = left.join(right, on="k").prompt(llm, ask, into="out").train(dr.SFT("gpt2", steps=1), prompt="left", completion="out", validation=validation)
    asked = dr.frame({"z": ["z"]}).prompt(model.llm(), "{z}", into="tuned")
    names = [p.name for p in lineage(asked.step)]
    for part in ("(k, left)", "(k, right)", "(left, answer, shot)", "(left, out, held)", "gpt-4o", "gpt2", "echo", "(z)"):
        assert any(part in n for n in names), (part, names)


def test_conflicts_are_named_and_nothing_is_claimed_then():
    free = Provenance("model", "free", license="apache-2.0")
    nc = Provenance("dataset", "paper/rows", license="cc-by-nc-4.0")
    closed = Provenance("model", "gpt-4o", terms="https://openai.com/policies/")
    alike = [Provenance("dataset", "w", license="cc-by-sa-4.0"), Provenance("dataset", "g", license="gpl-3.0")]
    assert licence_of_all([free]) == "apache-2.0"
    assert conflicts([free], trains=True) == []
    assert licence_of_all([free, nc]) is licence_of_all([free, closed]) is None
    assert [(n, "no commercial use" in why and "apache-2.0" in why) for n, _, why in conflicts([free, nc], trains=False)] == [("paper/rows", True)]
    assert "a model was trained" in conflicts([closed], trains=True)[0][2]
    assert "cannot both be kept" in conflicts(alike, trains=False)[-1][2]
    assert conflicts([Provenance("dataset", "rows")], trains=False)[0][1] == "unknown"


def test_huggingface_hub_reads_the_front_matter(tmp_path):
    from huggingface_hub import DatasetCard, ModelCard

    with dr.Session(tmp_path):
        df = dr.frame({"q": ["2+2?"]}).prompt(dr.SmolLM2(), "{q}", into="a")
        model = df.train(dr.SFT("HuggingFaceTB/SmolLM2-135M", steps=1), prompt="q", completion="a")
        data, trained = DatasetCard(df.card("me/sums"), ignore_metadata_errors=False), ModelCard(model.card("me/adder"), ignore_metadata_errors=False)
    assert data.data.tags == ["synthetic", "dreamframe"]
    assert data.data.license is None  # the rows in memory have no licence on record
    assert trained.data.base_model == "HuggingFaceTB/SmolLM2-135M"
    assert trained.data.pipeline_tag == "text-generation"


def test_step_json_keeps_counts_of_each_step(tmp_path):
    with dr.Session(tmp_path) as session:
        asked = dr.frame({"t": ["tea", "rain"]}).prompt(dr.testing.Echo(), "{t}", into="a").filter(pl.col("a") == "tea")
        asked.prompt(dr.testing.Echo(), "again {a}", into="b").collect()
        record = session.steps()[-1]
    kept = {s.label: (s.rows_in, s.rows, s.calls) for s in record.ran}
    assert kept["a"] == (2, 2, 2)
    assert kept["b"] == (1, 1, 1)


def test_failures_stand_on_the_card_by_kind():
    with dr.Session(None):
        df = dr.frame({"t": ["x"]}).prompt(dr.testing.Failing(), "{t}", on_error="null")
        df.collect()
        assert "BadRequestError: 1" in df.card()
