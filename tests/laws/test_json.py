"""A law of plans as JSON: every verb of a frame is written, read by a stranger to the script, and gives the same rows and key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from unittest.mock import patch

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.models.menu import weighed
from dreamframe.models.request import Completion, Request
from tests.golden.test_explain import RUN_OR_LOOK, double, rows, scanned, shortest_first, twice

ECHO, WORDS, NAMING = dr.testing.Echo(), dr.testing.WordEmbedder(), dr.testing.NamingClassifier()
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SAID = dr.prompt(ECHO, "{t}!", into="said")
OTHER = {"k": ["a"], "w": [9]}
LABELLED = dr.frame({"k": ["a", "bb"] * 15, "p": [0.25, 0.5, 0.75] * 10, "gold": ["a"] * 30})


@dataclass(frozen=True)
class Likely(dr.testing.Fake):
    """Finds one label as likely as another."""

    model: str = "likely"
    provider: ClassVar[str] = "likely"
    most_labels: ClassVar[int] = 26

    def reply(self, request: Request) -> Completion:
        labels = request.question.labels
        return Completion(weighed(labels, [1 / len(labels)] * len(labels)))


LOUD = {"t": ["x", "y", "z", "zz"], "said": ["loud x", "loud y", "loud z", "loud zz"]}
VERBS: dict[str, Callable[[], Any]] = {
    "select": lambda: rows().select("k", pl.col("v") + 1),
    "with_columns": lambda: rows().with_columns(u=pl.col("t").str.to_uppercase(), one=1),
    "with_columns of a model": lambda: rows().with_columns(pl.when(pl.col("v") > 1).then(SAID.str.to_uppercase()).alias("loud")),
    "filter": lambda: rows().filter(pl.col("v") > 1, k="b"),
    "drop": lambda: rows().drop("t", "l"),
    "rename": lambda: rows().rename({"k": "key"}),
    "cast": lambda: rows().cast({"v": pl.Float64}),
    "sort": lambda: rows().sort("k", pl.col("v") % 2, descending=[True, False]),
    "cite": lambda: rows().cite(license="mit", name="Rows"),
    "tune": lambda: rows().prompt(ECHO, "{t}", into="said").tune(dr.frame(LOUD), by=dr.testing.Scripted(lambda asked: "loud {t}"), calls=20),
    "head": lambda: rows().head(2),
    "limit": lambda: rows().limit(2),
    "tail": lambda: rows().tail(2),
    "slice": lambda: rows().slice(1, 1),
    "reverse": lambda: rows().reverse(),
    "unique": lambda: rows().unique("k"),
    "drop_nulls": lambda: rows().drop_nulls("t"),
    "join": lambda: rows().join(dr.frame(OTHER), on="k", how="left"),
    "join_by": lambda: rows().select("t").join_by(dr.frame({"u": ["yes", "no"]}), ECHO, "{u}: {t}"),
    "group_by": lambda: rows().group_by("k").agg(pl.col("v").sum(), n=pl.len()),
    "group_by and reduce_by": lambda: rows().group_by("k").reduce_by(ECHO, "Summarise {t}", into="summary", context=2048),
    "explode": lambda: rows().explode("l"),
    "unnest": lambda: rows().unnest("s"),
    "unpivot": lambda: rows().unpivot(["v"], index="k"),
    "pivot": lambda: rows().pivot("k", ["a", "b"], index="t", values="v", aggregate_function="sum"),
    "join_asof": lambda: rows().join_asof(dr.frame({"v": [0, 2], "w": [8, 9]}), on="v"),
    "join_where": lambda: rows().join_where(dr.frame({"w": [2, 3]}), pl.col("v") < pl.col("w")),
    "merge_sorted": lambda: rows().select("v").merge_sorted(dr.frame({"v": [0, 2]}), "v"),
    "update": lambda: rows().update(dr.frame({"v": [1], "t": ["new"]}), on="v"),
    "remove": lambda: rows().remove(pl.col("v") > 1, k="a"),
    "fill_null": lambda: rows().fill_null("none"),
    "fill_null by a strategy": lambda: rows().fill_null(strategy="forward", limit=1),
    "fill_nan": lambda: rows().fill_nan(0),
    "drop_nans": lambda: rows().drop_nans(),
    "interpolate": lambda: rows().select("v").interpolate(),
    "shift": lambda: rows().select("v").shift(-1, fill_value=0),
    "top_k": lambda: rows().top_k(2, by="v"),
    "bottom_k": lambda: rows().bottom_k(2, by=["k", "v"], reverse=[True, False]),
    "gather_every": lambda: rows().gather_every(2, 1),
    "count": lambda: rows().count(),
    "null_count": lambda: rows().null_count(),
    "min": lambda: rows().select("v").min(),
    "max": lambda: rows().select("v").max(),
    "sum": lambda: rows().select("v").sum(),
    "mean": lambda: rows().select("v").mean(),
    "median": lambda: rows().select("v").median(),
    "std": lambda: rows().select("v").std(ddof=0),
    "var": lambda: rows().select("v").var(),
    "quantile": lambda: rows().select("v").quantile(0.5, "linear"),
    "with_row_index": lambda: rows().with_row_index("i", 1),
    "gather": lambda: rows().gather([2, 0]),
    "pipe": lambda: rows().pipe(lambda df, n: df.head(n), 1),
    "concat": lambda: dr.concat([rows(), rows().head(1)]),
    "sample": lambda: rows().sample(2, seed=1),
    "shuffle": lambda: rows().shuffle(seed=1),
    "shard": lambda: rows().shard(2, 1),
    "shard, contiguous": lambda: rows().shard(2, 1, contiguous=True),
    "split by numbers": lambda: rows().split(train=2, test=1)["train"],
    "map_batches in batches": lambda: rows().map_batches(shortest_first, batch_size=2),
    "until": lambda: rows().repeat_to(5).prompt(ECHO, "{v}", schema=int, into="score").until(2, where=pl.col("score") > 1),
    "repeat_to": lambda: rows().repeat_to(7),
    "split": lambda: rows().split(train=0.5, test=0.5, seed=3)["test"],
    "map": lambda: rows().map(twice, schema={"w": pl.Int64}),
    "map_batches": lambda: rows().map_batches(shortest_first),
    "prompt": lambda: rows().prompt(ECHO, "Sum up {t} in one line.", into="sum", n=2),
    "prompt with a schema": lambda: rows().prompt(ECHO, "{k}", schema=Literal["a", "b"], into="kind"),
    "extract": lambda: rows().extract(ECHO, CITY, "t", prompt='{{"city": "{t}"}}'),
    "classify by labels of a frame": lambda: rows().classify(ECHO, rows().filter(k="a")["k"], "k", on_error="null", repairs=0),
    "classify": lambda: rows().classify(ECHO, ["a", "b"], "k", prompt="{k}"),
    "classify in a cascade": lambda: rows().classify(ECHO, ["a", "b"], "k", prompt="{k}", cascade=dr.Cascade(NAMING, accuracy=0.8)),
    "classify by a task model": lambda: rows().classify(dr.testing.NamingClassifier(), ["x", "z"], "t"),
    "classify with all scores": lambda: rows().classify(dr.testing.NamingClassifier(), ["x", "z"], "t", scores=True),
    "filter_by in a cascade": lambda: rows().filter_by(ECHO, "yes, {k}", cascade=dr.Cascade(Likely(), recall=0.9, precision=0.8, labels=3)),
    "rank_by": lambda: rows().rank_by(ECHO, "{v} points", threshold=2),
    "rank_by, kept": lambda: rows().rank_by(ECHO, "{v} points", keep=["prompt", "answer"]),
    "rank_by in free text": lambda: rows().rank_by(ECHO, "{v} points", free_text=True),
    "prompt with documents": lambda: rows().prompt(ECHO, dr.Rag("t", docs=rows(), text="k", by=WORDS, k=2, instruction="So", max_documents=1), into="x"),
    "top_k_by": lambda: rows().top_k_by(ECHO, "{v} points", 2),
    "top_k_by by comparisons": lambda: rows().top_k_by(ECHO, "Which is larger? {v}", 2, compare=True, into="rank"),
    "score": lambda: rows().score(ECHO, {"clarity": "easy to follow"}, "t", prompt='{{"clarity": {v}}}'),
    "run_code": lambda: rows().run_code("t", tests="k", timeout=2.5, memory="128MB").select(pl.col("run").struct.field("ok")),
    "converse": lambda: rows().converse(ECHO, "{t}", user=ECHO, user_prompt="Be {k}", tools=[double], max_turns=2),
    "verify": lambda: rows().verify(dr.verify.exact("t", "k"), into="ok"),
    "calibrate": lambda: rows().with_columns(p=pl.lit(0.75)).calibrate("p", "gold", answer="k", labelled=LABELLED),
    "judge": lambda: rows().judge(ECHO, a="k", b="t"),
    "bradley_terry": lambda: rows().bradley_terry("k", "t", "t", prior=1, draws=20, seed=3),
    "prompt until one is right": lambda: rows().prompt(ECHO, "{t}", into="said", n=2, until=dr.verify.exact("said", "k")),
    "best_worst": lambda: rows().best_worst("t", by="v", prompt="k"),
    "prompt and thoughts": lambda: rows().prompt(ECHO, "{t}", into="said", reasoning="thoughts"),
    "to_preferences": lambda: rows().judge(ECHO, a="k", b="t", swap="never").to_preferences(),
    "filter_by": lambda: rows().with_columns(u=pl.when(pl.col("v") > 1).then(pl.lit("yes")).otherwise(pl.lit("no"))).filter_by(ECHO, "{u}"),
    "embed": lambda: rows().embed(WORDS, "t"),
    "similarity": lambda: rows().similarity("k", "t", by=WORDS),
    "retrieve": lambda: rows().retrieve(dr.frame({"d": ["x", "yy"]}), query="t", text="d", by=WORDS, k=1),
    "dedup": lambda: rows().dedup("k"),
    "dedup by letters": lambda: rows().dedup("t", method="minhash"),
    "dedup by vectors": lambda: rows().dedup("k", method="embedding", by=WORDS, threshold=0.75),
    "cluster": lambda: rows().cluster("k", k=2, by=WORDS),
    "train": lambda: rows().train(dr.SFT("base", steps=2), prompt="t", completion="k"),
    "frame": rows,
    "generate": lambda: dr.generate(ECHO, "Write a haiku.", n=3),
    "grid": lambda: dr.grid({"topic": ["tea", "rain"], "level": [1, 2]}),
    "scan_csv": lambda: scanned("rows.csv", dr.scan_csv),
}
FUNCTIONS: dict[str, list[Any]] = {  # the user's own, which no text can hold
    "filter_by in a cascade": [Likely], "converse": [double], "map_batches in batches": [shortest_first], "map": [twice], "map_batches": [shortest_first],
}  # fmt: skip


@pytest.fixture(autouse=True)
def a_judge_that_decides() -> Iterator[None]:
    """Echo names both texts of a pair, which is not a verdict: here it names the one whose letter comes first."""

    def reply(self: dr.testing.Echo, request: Request) -> Completion:
        text = request.prompt
        return Completion(f"Input {'AB'['Input B: ' in text and len(text) % 2]}" if text.startswith("Input A: ") else text)

    with patch.object(dr.testing.Echo, "reply", reply):
        yield


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_goes_through_json(name: str, session: dr.Session):
    made = VERBS[name]()
    again = dr.from_json(made.to_json(), functions=FUNCTIONS.get(name, ()))
    assert again.step.key({}) == made.step.key({})
    assert again.to_json() == made.to_json()
    if isinstance(made, dr.Frame):
        with dr.Session(None):
            rows_of_it = made.collect()
        with dr.Session(None):
            assert again.collect().equals(rows_of_it)
        assert rows_of_it.height > 0


@pytest.mark.parametrize("name", ["filter_by", "rank_by", "top_k_by", "judge", "join_by"])
def test_a_kept_plan_of_such_a_verb_is_read_from_its_session(name: str):
    with dr.Session("./kept") as session:
        found = VERBS[name]().collect()
        (plan,), calls = session.plans(), session.usage()["calls"]
        assert session.plan(plan.name).collect().equals(found)
        assert session.usage()["calls"] == calls, "it is the same plan, and asks nothing anew"


def test_every_verb_has_a_case():
    verbs = [n for n in dir(dr.Frame) if not n.startswith("_") and not n.startswith(RUN_OR_LOOK)] + ["to_preferences"]
    assert [v for v in verbs if v not in VERBS] == []
