"""An example of every step, with another possible value for each of its fields: what the laws are tried on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import polars as pl

import dreamframe as dr
from dreamframe.models.authority import Authority
from dreamframe.models.request import Sampling
from dreamframe.plan.step import Step, step
from dreamframe.plan.steps.ahead import Ahead
from dreamframe.plan.steps.apply import MapBatches, MapRows
from dreamframe.plan.steps.cascade import Cascade, Cascaded, cascaded
from dreamframe.plan.steps.classify import Classify
from dreamframe.plan.steps.embed import Embed, Similarity
from dreamframe.plan.steps.first import FirstRows
from dreamframe.plan.steps.group import Cluster, DedupLetters, DedupVectors
from dreamframe.plan.steps.judge import Coin, Judge
from dreamframe.plan.steps.once import AskedOnce
from dreamframe.plan.steps.ordinals import NumberedPrompt, Ordinals, in_two
from dreamframe.plan.steps.part import Part
from dreamframe.plan.steps.partners import JoinRows
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.steps.relational import Relational, RepeatTo, Sample, Shard, SplitPart
from dreamframe.plan.steps.retrieve import Retrieve, SearchGraph, documents
from dreamframe.plan.steps.source import HubStream, HubTable, KeptScan, ReadTable, Scan, Table
from dreamframe.plan.steps.train import Train
from dreamframe.plan.steps.until import Until
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.base import Prompt
from dreamframe.store.sources import SourceContext
from dreamframe.testing import WordEmbedder
from tests.laws import checks, figures, guesses, talks
from tests.laws.ordinal import Brief, Comparing, Ordinal

SCHEMA = {"t": pl.String, "v": pl.Int64, "k": pl.String}
ROWS = pl.DataFrame({"t": ["tea", "rain", "tea", None], "v": [3, 1, 2, 4], "k": ["a", "b", "a", "b"]}, schema=SCHEMA)


def twice(row: dict[str, Any]) -> dict[str, Any]:
    return {"w": row["v"] * 2}


def thrice(row: dict[str, Any]) -> dict[str, Any]:
    return {"w": row["v"] * 3}


def backwards(table: pl.DataFrame) -> pl.DataFrame:
    return table.reverse()


def sorted_by_v(table: pl.DataFrame) -> pl.DataFrame:
    return table.sort("v")


def upper(text: str) -> str:
    return text.upper()


def verdict(text: str) -> str:
    """A verdict that any answer holds."""
    return ("a", "b", "tie")[len(text) % 3]


def tail_of(text: str) -> float:
    return float(text.rpartition("#")[2])


@dataclass(frozen=True)
class With:
    """Another value of a field that stands only beside certain values of other fields."""

    value: Any
    beside: Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A step over an input, and for each field of the step another value that it could have."""

    build: Callable[[Step], Step]
    changes: Mapping[str, Any]
    is_row_by_row: bool = True  # whether it may be collected
    n_calls: Callable[[pl.DataFrame], int] = lambda _: 0  # calls that a first run makes

    def __post_init__(self) -> None:
        of_all = {"authority": Authority(("**",)), "cited": (("license", "mit"),)}  # every step has them
        object.__setattr__(self, "changes", {**of_all, **self.changes})

    def over(self, below: Step) -> Step:
        return self.build(below)

    def changed(self, field: str) -> Step:
        """The step with another value in one field."""
        made = self.over(table())
        value = self.changes[field]
        changed = {**value.beside, field: value.value} if isinstance(value, With) else {field: value}
        return type(made)(**{**{f.name: getattr(made, f.name) for f in fields(made)}, **changed})


def table(rows: pl.DataFrame = ROWS) -> Step:
    return Table(data=rows)


def rechunked() -> pl.DataFrame:
    return pl.concat([ROWS.head(1), ROWS.tail(3)], rechunk=False)


def file(name: str) -> str:
    """The rows as a file of this name in the working directory."""
    if not Path(name).exists():
        ROWS.write_csv(name)
    return name


LLM = Ordinal(max_tokens=5)
TEMPLATE = Prompt.of("Say {t}", step="prompt")
PROMPT_CHANGES: dict[str, Any] = {
    "held": AnswerSchema.of(bool),
    "keep": (("answer", "said_answer"),),
    "name": "other",
    "on_error": "null",
    "llm": Ordinal(max_tokens=6),
    "prompt": Prompt.of("Say {k}", step="prompt"),
    "into": "other",
    "schema_": AnswerSchema.of(["a", "b"], step="prompt"),
    "system": "You are brief.",
    "sampling": Sampling.of(temperature=0.5),
    "n": 2,
    "parse": upper,
    "probability": With("p", {"schema_": AnswerSchema.of(bool)}),
    "techniques": ("https://arxiv.org/abs/2306.05685",),
    "tuned": (("said", "0 → 1 on 9 held-out rows"),),
    "repairs": 3,
}
POSITIONS: dict[str, Any] = {"name": "other"}
WORDS, FEWER_WORDS = WordEmbedder(), WordEmbedder(size=32)
EMBEDDING: dict[str, Any] = {"name": "other", "on_error": "null", "by": FEWER_WORDS, "into": "other"}


def with_vectors(below: Step) -> Step:
    return dr.Frame(below).embed(WORDS, "t", into="e").embed(WORDS, "k", into="f").step


def found(below: Step, *, index: str = "exact") -> Step:
    return Retrieve.over(below, WORDS, documents(below, "t", WORDS, index=index), query="k", text="t", k=2)


def halves(below: Step) -> tuple[Ordinals, NumberedPrompt]:
    """The numbers of a sampled prompt, and the prompt that reads them."""
    made = in_two(PromptStep.over(below, LLM, TEMPLATE, into="said"), below)
    assert made is not None
    return made


def as_kind(kind: type[PromptStep], below: Step) -> Step:
    """A prompt as a step of another kind."""
    prompt = PromptStep.over(below, LLM, TEMPLATE, into="said")
    return kind(**{f.name: getattr(prompt, f.name) for f in fields(prompt)})


CASCADE_CHANGES: dict[str, Any] = {"guess": "k", "likely": "other_likely"}


def in_cascade(below: Step) -> Cascaded:
    """A prompt of which a column is taken for what a proxy answers, and another for how likely it finds that."""
    scored = dr.Frame(below).with_columns(guess=pl.format("Say {} #0", "t"), likely=pl.lit(0.9), other_likely=pl.lit(0.8)).step
    return cascaded(PromptStep.over(scored, LLM, TEMPLATE, into="said"), scored, Cascade(accuracy=0.5), guess="guess", likely="likely")


def certificate(below: Step) -> Step:
    """What a sample certifies of it, over a table that has all columns of the rows."""
    asked = in_cascade(below)
    return asked.inputs[-1].but(inputs=(asked.inputs[0],))


@step
class NearStream(HubStream):
    """A data set of the Hub that lies in memory."""

    def read(self, ctx: SourceContext) -> pl.LazyFrame:
        return (ROWS if self.limit is None else ROWS.head(self.limit)).lazy()


CASES: dict[str, Case] = {
    "Table": Case(lambda _: table(), {"name": "other", "data": rechunked()}),
    "ReadTable": Case(lambda _: ReadTable(data=ROWS, origin="https://host/x.csv"), {"name": "other", "data": rechunked(), "origin": "a spreadsheet"}),
    "HubTable": Case(
        lambda _: HubTable(data=ROWS, repo="org/name", revision="0" * 40),
        {
            "name": "other", "data": rechunked(), "repo": "org/other", "config": "de", "split": "test", "revision": "1" * 40, "license": "mit",
            "citation": "@misc",
        },
    ),
    "HubStream": Case(
        lambda _: NearStream(repo="org/name", revision="0" * 40, columns=tuple(SCHEMA.items())),
        {
            "name": "other",
            "repo": "org/other",
            "config": "de",
            "split": "test",
            "revision": "1" * 40,
            "columns": (("t", pl.String),),
            "license": "mit",
            "citation": "@misc",
            "token": "hf_1",
            "streaming": False,
            "limit": 2,
        },
    ),
    "KeptScan": Case(
        lambda _: KeptScan(data=ROWS, kept_key="0" * 32),
        {"name": "other", "data": rechunked(), "described": "rows.csv", "kept_key": "1" * 32, "is_claimed": True},
    ),
    "Relational": Case(
        lambda below: Relational(inputs=(below,), verb="filter", args=(pl.col("v") > 1,)),
        {"name": "other", "verb": "select", "args": (pl.col("v") > 2,), "options": (("k", "a"),)},
    ),
    "Relational sort": Case(
        lambda below: Relational(inputs=(below,), verb="sort", args=("k",), options=(("maintain_order", True),)),
        {"args": ("v",), "options": (("descending", True), ("maintain_order", True))},
    ),
    "Sample": Case(
        lambda below: Sample(inputs=(below,), fraction=0.6, seed=1),
        {**POSITIONS, "n": 2, "fraction": 0.3, "with_replacement": True, "in_order": False, "seed": 2},
    ),
    "RepeatTo": Case(lambda below: RepeatTo(inputs=(below,), n=5), {**POSITIONS, "n": 6}),
    "Shard": Case(lambda below: Shard(inputs=(below,), n=3, i=1), {**POSITIONS, "n": 2, "i": 0}),
    "Part": Case(lambda below: Part(inputs=(below,), i=1, n=2, columns=("t",)), {**POSITIONS, "i": 0, "n": 3, "columns": ("k",)}),
    "SplitPart": Case(
        lambda below: SplitPart(inputs=(below,), part="train", fractions=(("train", 0.5), ("test", 0.5)), seed=1),
        {**POSITIONS, "part": "test", "fractions": (("train", 0.4), ("test", 0.6)), "stratify": "k", "seed": 2, "shuffle": False},
    ),
    "MapRows": Case(
        lambda below: MapRows(inputs=(below,), function=twice, columns=(("w", pl.Int64()),)),
        {"name": "other", "on_error": "drop", "function": thrice, "columns": (("w", pl.Float64()),), "of_value": True, "timeout_s": 9.0, "workers": 2},
    ),
    "MapBatches": Case(
        lambda below: MapBatches(inputs=(below,), function=backwards),
        {"name": "other", "function": sorted_by_v, "columns": tuple(SCHEMA.items()), "batch_size": 2},
    ),
    "PromptStep": Case(
        lambda below: PromptStep.over(below, LLM, TEMPLATE, into="said"),
        PROMPT_CHANGES,
        n_calls=lambda rows: rows["t"].len() - rows["t"].null_count(),
    ),
    "PromptStep with samples": Case(
        lambda below: PromptStep.over(below, LLM, TEMPLATE, into="said", n=3),
        {"n": 4},
        n_calls=lambda rows: 3 * (rows["t"].len() - rows["t"].null_count()),
    ),
    "PromptStep greedy": Case(
        lambda below: PromptStep.over(below, Ordinal(temperature=0), TEMPLATE, into="said"),
        {"sampling": Sampling.of(temperature=0.5)},
        n_calls=lambda rows: rows["t"].drop_nulls().n_unique(),
    ),
    "PromptStep with probabilities": Case(
        lambda below: PromptStep.over(below, LLM, TEMPLATE, into="said", schema_=AnswerSchema.of(["a", "b", "c"]), probability="p"),
        {"probability": "q", "schema_": AnswerSchema.of(["a", "b"])},
        n_calls=lambda rows: rows["t"].drop_nulls().n_unique(),
    ),
    "Labels of a frame": Case(
        lambda below: dr.Frame(below).prompt(LLM, "Say {t}", into="said", schema=dr.frame(ROWS)["k"], on_error="null", repairs=0).step,
        {"schema_": AnswerSchema.of(["a", "b"], step="prompt")},
        n_calls=lambda rows: rows["t"].len() - rows["t"].null_count(),
    ),
    "PromptStep twice": Case(
        lambda below: PromptStep.over(PromptStep.over(below, LLM, TEMPLATE, into="said"), LLM, Prompt.of("Again {said}", step="prompt"), into="again"),
        {"into": "third"},
        n_calls=lambda rows: 2 * (rows["t"].len() - rows["t"].null_count()),
    ),
    "PromptStep, then equal prompts": Case(  # batches come to the second step in any order, and its samples are numbered in input order all the same
        lambda below: PromptStep.over(PromptStep.over(below, LLM, TEMPLATE, into="said"), LLM, Prompt.of("Name {k}", step="prompt"), into="again"),
        {"into": "third"},
        n_calls=lambda rows: rows["t"].len() - rows["t"].null_count() + rows.height,
    ),
    "PromptStep judging in random order": Case(
        lambda below: dr.Frame(below).judge(Ordinal(temperature=0), a="t", b="k", parse=verdict).step,
        {"into": "other"},
        n_calls=lambda rows: rows.drop_nulls("t").select("t", "k").n_unique(),
    ),
    "PromptStep judging each way round": Case(
        lambda below: dr.Frame(below).judge(LLM, a="t", b="k", parse=verdict, swap="both").step,
        {"into": "other"},
        n_calls=lambda rows: 2 * (rows["t"].len() - rows["t"].null_count()),
    ),
    "Until": Case(
        lambda below: Until(inputs=(dr.Frame(below).repeat_to(9).prompt(LLM, "Say {k}", into="said").filter(pl.col("v") > -9).step,), n=4, max_candidates=9),
        {"name": "other", "n": 5, "max_candidates": 8},
    ),
    "Classify": Case(
        lambda below: Classify.over(below, dr.testing.NamingClassifier(), labels=("rain", "tea"), column="t"),
        {
            "name": "other", "on_error": "null", "llm": dr.testing.NamingClassifier("larger"), "labels": None, "column": "k", "into": "kind",
            "scores": True, "probability": "sure",
        },
    ),
    "Coin": Case(
        lambda below: Coin(inputs=(below,), columns=("t", "v"), into="heads"),
        {"name": "other", "on_error": "null", "columns": ("t",), "into": "tails", "seed": 1},
    ),
    "Judge": Case(
        lambda below: Judge(inputs=(below,), a="t", b="v", first="k"),
        {"name": "other", "on_error": "null", "a": "v", "b": "t", "prompt": "k", "into": "best", "first": "t", "second": "t", "swapped": "v"},
    ),
    "Comparison": Case(
        lambda below: dr.Frame(below).top_k_by(Comparing(), "Which is longer? {t}", 3, compare=True, into="rank").step.inputs[0].inputs[0],
        {
            "name": "other", "on_error": "null", "llm": Comparing("later"), "prompt": Prompt.of("Which is longer? {k}", step="top_k_by"), "k": 2,
            "into": "place", "window": 10, "seed": 1, "system": "Be brief.", "sampling": Sampling.of(temperature=0.5), "repairs": 3,
        },
    ),
    "Comparison of windows, sorted": Case(
        lambda below: dr.Frame(below).top_k_by(Comparing(), "Which is longer? {t} {v}", 3, compare=True, window=4).step, {"args": (["t"],)}
    ),
    "Reduce": Case(
        lambda below: dr.Frame(below).group_by("k").reduce_by(Brief(), "Sum up {t}", context=60, max_tokens=20).step,
        {
            "name": "other", "on_error": "null", "llm": Brief("longer"), "prompt": Prompt.of("Say {t}", step="reduce"), "column": "k", "into": "said",
            "context": 61, "count": len, "sep": "|", "system": "Be brief.", "sampling": Sampling.of(temperature=0.5),
        },
    ),
    "Relational ranked": Case(
        lambda below: dr.Frame(below).rank_by(LLM, "Rate {k}", parse=tail_of, threshold=1).step,
        {"options": (("descending", False), ("maintain_order", True), ("nulls_last", True))},
    ),
    "Embed": Case(lambda below: Embed.over(below, WORDS, column="t", into="v64"), {**EMBEDDING, "column": "k"}),
    "Similarity": Case(lambda below: Similarity.over(below, WORDS, a="t", b="k", into="near"), {**EMBEDDING, "a": "k", "b": "t"}),
    "Retrieve": Case(found, {**EMBEDDING, "by": WordEmbedder("other words"), "query": "t", "text": "k", "k": 3}),
    "Retrieve in a graph": Case(lambda below: found(below, index="usearch"), {"k": 3}),
    "SearchGraph": Case(lambda below: SearchGraph(inputs=(documents(below, "t", WORDS, index="exact"),)), POSITIONS),
    "DedupLetters": Case(lambda below: DedupLetters(inputs=(below,), column="t", threshold=0.5), {**POSITIONS, "column": "k", "threshold": 0.6}),
    "DedupVectors": Case(
        lambda below: DedupVectors(inputs=(with_vectors(below),), column="e", threshold=0.5), {**POSITIONS, "column": "f", "threshold": 0.6}
    ),
    "Cluster": Case(
        lambda below: Cluster(inputs=(with_vectors(below),), column="e", into="group", k=2),
        {**POSITIONS, "column": "f", "into": "other", "k": 3, "seed": 1, "by_angle": True},
    ),
    "Ordinals": Case(lambda below: halves(below)[0], {**PROMPT_CHANGES, "on_error": "raise"}),
    "NumberedPrompt": Case(
        lambda below: halves(below)[1],
        {**PROMPT_CHANGES, "ordinals": "v"},
        n_calls=lambda rows: rows["t"].len() - rows["t"].null_count(),
    ),
    "AskedOnce": Case(lambda below: as_kind(AskedOnce, below), PROMPT_CHANGES, n_calls=lambda rows: rows["t"].drop_nulls().n_unique()),
    "Ahead": Case(lambda below: as_kind(Ahead, below), PROMPT_CHANGES, n_calls=lambda rows: rows["t"].drop_nulls().n_unique()),
    "Certify": Case(
        certificate,
        {**{name: value for name, value in PROMPT_CHANGES.items() if name != "on_error"}, **CASCADE_CHANGES, "cascade": Cascade(accuracy=0.6)},
    ),
    "Cascaded": Case(in_cascade, {**PROMPT_CHANGES, **CASCADE_CHANGES}, n_calls=lambda rows: rows["t"].drop_nulls().n_unique()),
    "FirstRows": Case(lambda below: FirstRows(inputs=(dr.Frame(below).prompt(LLM, "Say {k}", into="said").step,), n=2), {"name": "other", "n": 3}),
    "JoinRows": Case(
        lambda below: JoinRows(inputs=(below, table(ROWS.select("k", w="v"))), options=(("how", "left"), ("maintain_order", "left"), ("on", "k"))),
        {"name": "other", "on_error": "null", "options": (("how", "inner"), ("maintain_order", "left"), ("on", "k"))},
    ),
    "Relational over model columns": Case(
        lambda below: dr.Frame(below).filter(dr.prompt(LLM, "Say {x}", x=dr.prompt(LLM, "{t}").str.to_uppercase(), into="said").str.len_chars() > 9).step,
        {"args": (["t"],)},
    ),
}


CASES.update({name: Case(*given) for name, given in (*guesses.cases(PROMPT_CHANGES).items(), *figures.cases(With).items())})
CASES.update({name: Case(*given) for name, given in (*checks.cases(PROMPT_CHANGES, With).items(), *talks.cases().items())})


def scan() -> Case:
    """A scan needs its files in the working directory."""
    made = Scan(format="csv", paths=(file("rows.csv"),))
    told = (("k", pl.String()),)
    return Case(lambda _: made, {"name": "other", "format": "text", "paths": (file("moved.csv"),), "options": (("skip_rows", 1),), "columns": told})


def train() -> Case:
    """Trainings are keyed as any step; what they make is tried in tests/models."""
    trainer, other = dr.SFT("base", steps=2), dr.SFT("base", steps=3)
    columns = (("completion", "k"), ("prompt", "t"))
    return Case(
        lambda below: Train(inputs=(below, below), trainer=trainer, columns=columns),
        {"name": "other", "trainer": other, "columns": (("completion", "t"), ("prompt", "k")), "has_validation": True},
        is_row_by_row=False,
    )


def all_cases() -> dict[str, Case]:
    return {**CASES, "Scan": scan(), "Train": train()}
