"""What explain() says of every verb, word for word: plans as they would run, read from the last line up."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Literal

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.frame.evaluating import evaluation
from tests.golden.files import Golden

GOLDEN = Golden("explain.txt")
ECHO = dr.testing.Echo()
WORDS = dr.testing.WordEmbedder()
LIKELY = dr.testing.Scripted({}, model="small")
SCRIPTED = dr.testing.Scripted({})
LABELLED = dr.frame({"good": [True], "p": [0.9], "long": [False]})
PLAIN = {"confidence": 0.95, "seed": 0, "draws": 1000, "name": None}
MODEL_COLUMN = dr.prompt(ECHO, "Is {t} long?", schema=bool, into="long")


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


def rows() -> dr.Frame:
    return dr.frame({"k": ["a", "b", "a"], "v": [1, 2, 3], "t": ["x", "yy", "z"], "l": [[1], [2, 3], []], "s": [{"f": 1}, {"f": 2}, {"f": 3}]})


def scanned(name: str, scan: Callable[[Path], dr.Frame]) -> dr.Frame:
    path = Path(name)
    {".csv": pl.DataFrame.write_csv, ".parquet": pl.DataFrame.write_parquet, ".ndjson": pl.DataFrame.write_ndjson}[path.suffix](pl.DataFrame({"a": [1]}), path)
    return scan(path)


def double(n: int) -> int:
    return 2 * n


def twice(row: dict[str, int]) -> dict[str, int]:
    return {"w": row["v"] * 2}


def shortest_first(table: pl.DataFrame) -> pl.DataFrame:
    return table.sort(pl.col("t").str.len_chars())


def shared() -> dr.Frame:
    asked = rows().prompt(ECHO, "{t}", into="said")
    return dr.concat([asked.filter(k="a"), asked.filter(k="b")])


def tuned_prompt() -> dr.Frame:
    """A prompt whose model answers rightly only if it is told to be loud."""
    llm = dr.testing.Scripted(lambda asked: asked.upper() if "Loud" in asked else asked, model="small")
    by = dr.testing.Scripted(lambda asked: "```Loud {t}```", model="strong")
    gold = dr.frame({"t": ["tea", "jam", "rye", "oat"], "said": ["LOUD TEA", "LOUD JAM", "LOUD RYE", "LOUD OAT"]})
    return rows().prompt(llm, "{t}", into="said").tune(gold, by=by, calls=20)


def tuned() -> dr.Frame:
    model = rows().train(dr.SFT("base", steps=2), prompt="t", completion="k")
    return rows().prompt(model.llm(), "{t}", into="tuned")


PLANS: dict[str, Callable[[], dr.Frame | dr.Model]] = {
    "frame": rows,
    "scan_csv": lambda: scanned("rows.csv", dr.scan_csv),
    "scan_parquet": lambda: scanned("rows.parquet", dr.scan_parquet),
    "scan_ndjson": lambda: scanned("rows.ndjson", dr.scan_ndjson),
    "grid": lambda: dr.grid({"topic": ["tea", "rain"], "level": [1, 2]}),
    "generate": lambda: dr.generate(ECHO, "Write a haiku.", n=3),
    "select": lambda: rows().select("k", pl.col("v") + 1),
    "with_columns": lambda: rows().with_columns(u=pl.col("t").str.to_uppercase(), one=1),
    "filter": lambda: rows().filter(pl.col("v") > 1, k="a"),
    "drop": lambda: rows().drop("t", "l"),
    "rename": lambda: rows().rename({"k": "key"}),
    "cast": lambda: rows().cast({"v": pl.Float64}),
    "sort": lambda: rows().sort("k", pl.col("v") % 2, descending=[True, False]),
    "head": lambda: rows().head(2),
    "limit": lambda: rows().limit(2),
    "tail": lambda: rows().tail(2),
    "slice": lambda: rows().slice(1, 1),
    "reverse": lambda: rows().reverse(),
    "unique": lambda: rows().unique("k"),
    "drop_nulls": lambda: rows().drop_nulls("t"),
    "join": lambda: rows().join(dr.frame({"k": ["a"], "w": [9]}), on="k", how="left"),
    "join_by": lambda: rows().select("t").join_by(dr.frame({"u": ["a"]}), ECHO, "Is {t} like {u}?"),
    "join_by in blocks": lambda: rows().join_by(dr.frame({"k": ["a"], "u": ["b"]}), ECHO, "Is {t} like {u}?", block="k"),
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
    "concat diagonal": lambda: dr.concat([rows().select("k"), rows().select("v")], how="diagonal"),
    "sample": lambda: rows().sample(2, seed=1),
    "shuffle": lambda: rows().shuffle(seed=1),
    "shard": lambda: rows().shard(2, 1),
    "shard, contiguous": lambda: rows().shard(2, 1, contiguous=True),
    "split by numbers": lambda: rows().split(train=2, test=1)["train"],
    "until": lambda: dr.generate(ECHO, "Write a haiku.", n=3).prompt(ECHO, "Rate {text}", schema=int, into="score").until(9, where=pl.col("score") > 3),
    "until over a table": lambda: rows().sort("t").prompt(ECHO, "{t}", into="said").until(2, where=pl.col("said") != "x", max_candidates=5),
    "repeat_to": lambda: rows().repeat_to(7),
    "split": lambda: rows().split(train=0.5, test=0.5, seed=3)["test"],
    "split stratified": lambda: rows().split(train=0.5, test=0.5, stratify="k")["train"],
    "run_code": lambda: rows().run_code("t", "k"),
    "converse": lambda: rows().converse(ECHO, "Hear {t}", user=ECHO, user_prompt="Be {k}", tools=[double], max_turns=4, until="bye"),
    "verify": lambda: rows().verify(dr.verify.number("t", "v")),
    "map": lambda: rows().map(twice, schema={"w": pl.Int64}),
    "map_batches": lambda: rows().map_batches(shortest_first),
    "prompt": lambda: rows().prompt(ECHO, "Sum up {t} in one line.", into="sum"),
    "prompt with a schema": lambda: rows().prompt(ECHO, "Is {t} good?", schema=Literal["yes", "no"], into="good"),
    "prompt with labels of an enum": lambda: rows().prompt(ECHO, "What mood is {t}?", schema=Mood, into="mood"),
    "prompt with labels of a frame": lambda: rows().prompt(ECHO, "What kind is {t}?", schema=dr.frame({"kind": ["a", "b"]}).filter(kind="a")["kind"]),
    "classify by labels of a frame": lambda: rows().classify(ECHO, rows().prompt(ECHO, "Name {k}", into="kind")["kind"], "t"),
    "prompt with samples": lambda: rows().prompt(ECHO, "{t}", n=3, into="three"),
    "extract": lambda: rows().extract(ECHO, {"type": "object", "properties": {"city": {"type": "string"}}}, "t"),
    "prompt with probabilities": lambda: rows().prompt(SCRIPTED, "Is {t} good?", schema=bool, into="good", probability="p"),
    "calibrate": lambda: rows().prompt(SCRIPTED, "Is {t} good?", schema=bool, into="good", probability="p").calibrate("p", "long", labelled=LABELLED),
    "classify": lambda: rows().classify(ECHO, ["short", "long"], "t"),
    "classify by a task model": lambda: rows().classify(dr.testing.NamingClassifier(), ["short", "long"], "t"),
    "filter_by with a head": lambda: rows().filter_by(ECHO, "Is {t} long?", distil=dr.Distil(WORDS, labels=40)),
    "join_by of the nearest": lambda: rows().join_by(dr.frame({"topic": ["sport"]}), ECHO, "Is {t} about {topic}?", block=dr.Nearest(WORDS)),
    "join_by by labels": lambda: rows().join_by(dr.frame({"topic": ["sport", "food"]}), ECHO, "Is {t} about {topic}?", asked="labels"),
    "join_by by an attribute": lambda: rows().join_by(
        rows(), ECHO, "Do {t} and {t_right} differ?", asked=dr.Attribute("mood", ["good", "bad"], pl.col("left") != "bad"), check=10, otherwise="raise"
    ),
    "rank_by": lambda: rows().rank_by(ECHO, "Rate {t} from 1 to 10.", threshold=5),
    "top_k_by": lambda: rows().top_k_by(ECHO, "Rate {t} from 1 to 10.", 2),
    "top_k_by by comparisons": lambda: rows().top_k_by(ECHO, "Which is longer? {t}", 2, compare=True),
    "top_k_by by windows of ten": lambda: rows().filter(pl.col("v") > 1).top_k_by(ECHO, "Which is longer? {t}", 2, compare=True, window=10, into="place"),
    "score": lambda: rows().score(ECHO, {"clarity": "easy to follow"}, "t"),
    "judge": lambda: rows().judge(ECHO, a="k", b="t"),
    "judge both ways": lambda: rows().judge(ECHO, prompt="v", a="k", b="t", swap="both", criteria="wit"),
    "best_worst": lambda: rows().with_columns(s=pl.lit(1)).best_worst("t", by="s", prompt="k"),
    "to_preferences": lambda: rows().judge(ECHO, a="k", b="t", swap="never").to_preferences(),
    "bradley_terry": lambda: rows().bradley_terry("k", "t", "t"),
    "filter_by": lambda: rows().filter_by(ECHO, "Is {t} about sports?"),
    "filter_by in a cascade": lambda: rows().filter_by(ECHO, "Is {t} about sports?", cascade=dr.Cascade(LIKELY, recall=0.9, precision=0.8)),
    "classify in a cascade": lambda: rows().classify(ECHO, ["a", "b"], "t", cascade=dr.Cascade(dr.testing.NamingClassifier(), accuracy=0.9)),
    "embed": lambda: rows().embed(WORDS, "t"),
    "similarity": lambda: rows().similarity("k", "t", by=WORDS),
    "retrieve": lambda: rows().retrieve(dr.frame({"d": ["a"]}), query="t", text="d", by=WORDS, k=3),
    "retrieve in a graph": lambda: rows().retrieve(dr.frame({"d": ["a"]}), query="t", text="d", by=WORDS, index="usearch"),
    "dedup": lambda: rows().dedup("t"),
    "dedup by letters": lambda: rows().dedup("t", method="minhash"),
    "dedup by vectors": lambda: rows().dedup("t", method="embedding", by=WORDS, threshold=0.75),
    "cluster": lambda: rows().cluster("t", k=2, by=WORDS),
    "model column in with_columns": lambda: rows().with_columns(MODEL_COLUMN),
    "model column in filter": lambda: rows().filter(MODEL_COLUMN, pl.col("v") > 1),
    "model column in select": lambda: rows().select("k", MODEL_COLUMN),
    "model column in sort": lambda: rows().sort(dr.prompt(ECHO, "Rate {t}", schema=int, into="rate")),
    "model column in agg": lambda: rows().group_by("k").agg(dr.prompt(ECHO, "{t}", into="said").str.len_chars().max()),
    "model column in when": lambda: rows().with_columns(pl.when(pl.col("v") > 1).then(dr.prompt(ECHO, "{t}")).otherwise(None).alias("said")),
    "model columns nested": lambda: rows().with_columns(dr.prompt(ECHO, "Again: {x}", x=dr.prompt(ECHO, "{t}").str.head(5), into="again")),
    "cosine in filter": lambda: rows().filter(dr.similarity("t", pl.col("k").str.to_uppercase(), by=WORDS) > 0.5),
    "limit below a prompt": lambda: rows().prompt(ECHO, "{t}", into="said").with_columns(n=pl.col("said").str.len_chars()).head(1),
    "shared steps are drawn once": shared,
    "train": lambda: rows().train(dr.SFT("base", steps=2), prompt="t", completion="k"),
    "train with validation": lambda: rows().train(dr.SFT("base", steps=2), prompt="t", completion="k", validation=rows().head(1)),
    "a model as an edge": tuned,
    "cite": lambda: rows().cite(license="mit"),
    "evaluate": lambda: dr.Frame(evaluation(rows(), [dr.metrics.accuracy("k", "t")], {"f": dr.metrics.f1("k", "t", average="macro")}, by="v", **PLAIN)),
    "tune": tuned_prompt,
}
# Verbs that make no frame.
RUN_OR_LOOK = (
    *("evaluate", "agreement", "card", "push_to_hub", "collect", "retry", "to_", "write_", "sink_", "lazy", "describe"),
    *("schema", "columns", "models", "step", "explain", "estimate", "show", "preview", "failures", "why", "compare_models", "candidates"),
)


@pytest.mark.parametrize("name", PLANS)
def test_explain_says(name: str, session: dr.Session):
    GOLDEN.check(name, PLANS[name]().explain())


def test_the_file_has_no_other_sections(session: dr.Session):
    GOLDEN.check_names(list(PLANS))


def test_every_verb_is_explained():
    verbs = [n for n in dir(dr.Frame) if not n.startswith("_") and not n.startswith(RUN_OR_LOOK)]
    assert [v for v in verbs if v not in PLANS] == []


def test_a_plan_is_explained_as_it_was_written(session: dr.Session):
    plan = rows().prompt(ECHO, "{t}", into="said").head(1)
    assert plan.explain(optimized=False).splitlines()[0].startswith("HEAD")
    assert plan.explain().splitlines()[0].startswith("PROMPT")


def test_the_html_of_a_frame_shows_schema_and_plan_and_escapes_both(session: dr.Session):
    frame = dr.frame({"<b>": ["a & b"]}).prompt(ECHO, "<i>{<b>}</i>", into="said")
    Golden("repr.txt").check("html", frame._repr_html_())


def test_the_repr_of_a_frame_shows_schema_and_plan(session: dr.Session):
    Golden("repr.txt").check("repr", repr(rows().prompt(ECHO, "{t}", into="said")))


def test_the_repr_of_a_model_shows_its_plan(session: dr.Session):
    Golden("repr.txt").check("model", repr(rows().train(dr.SFT("base", steps=2), prompt="t", completion="k")))


def test_looking_runs_nothing(session: dr.Session):
    llm = dr.testing.Echo()
    df = rows().prompt(llm, "{t}", into="said")
    repr(df), df._repr_html_(), df.explain(), df.show_graph(), df.schema, df.columns
    assert llm.calls == 0
