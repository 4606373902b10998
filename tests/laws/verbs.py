"""Ways to use every verb of a frame, for random plans: each keeps the columns t, v and k, and what it adds has a number in its name."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

import dreamframe as dr
from dreamframe.plan.step import RowStep, TableStep, step
from dreamframe.testing import NamingClassifier, Scripted, WordEmbedder
from tests.laws.cases import Comparing, Ordinal

Verb = Callable[[dr.Frame, int, int], dr.Frame]  # a frame, a small number, and one that no other verb of the plan has


def refused(prompt: str) -> bool:
    return zlib.crc32(prompt.encode()) % 3 == 0


def is_even(text: str) -> bool:
    return len(text) % 2 == 0


def is_odd(v: int) -> bool:
    return bin(v).endswith("1")


def digits(v: int) -> int:
    return len(str(v))


def points(text: str) -> float:
    return float(len(text) % 7)


def which(text: str) -> str:
    return ("a", "b", "tie")[len(text) % 3]


def shares(prompt: str) -> dict[bool, float]:
    """How likely a proxy finds a yes: right more often than not where `is_even` decides."""
    yes = (zlib.crc32(prompt.encode()) % 50 + (50 if is_even(f"{prompt} #0") else 0)) / 100
    return {True: yes, False: 1 - yes}


def label_of(prompt: str) -> str:
    return "ab"[zlib.crc32(prompt.encode()) % 2]


def doubled(row: dict[str, Any]) -> dict[str, Any]:
    return {"v": None if row["v"] is None else row["v"] * 2}


def length(row: dict[str, Any]) -> int:
    return len(row["k"])


def inverse(row: dict[str, Any]) -> float:
    return 1 / row["v"]


def first_half(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.head((rows.height + 1) // 2)


@step
class Shouted(RowStep):
    """A step of a user's own, which says nothing of itself."""

    column: str
    into: str

    def output_schema(self) -> pl.Schema:
        return pl.Schema({**self.inputs[0].schema, self.into: pl.String()})

    async def run(self, rows: pl.DataFrame, ctx: Any) -> pl.DataFrame:
        return rows.with_columns(pl.col(self.column).str.to_uppercase().alias(self.into))


@step
class Backwards(TableStep):
    """All rows, the last one first; a step of a user's own."""

    def output_schema(self) -> pl.Schema:
        return self.inputs[0].schema

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: Any) -> pl.DataFrame:
        return tables[0].reverse()


ASK, SURE = Ordinal(), Ordinal(temperature=0)
POOR, POOR_SURE = Ordinal(tone="poor", refuses=refused), Ordinal(tone="poor", temperature=0, refuses=refused)  # other models than those that answer
PROXY, LABELLING = Scripted(shares, model="proxy"), Scripted(label_of, model="labelling", temperature=0)
WORDS = WordEmbedder(size=4)
ODD = pl.col("v") % 2 == 1


def base(df: dr.Frame) -> dr.Frame:
    return df.select("t", "v", "k")


def few(n: int, name: str = "v") -> dr.Frame:
    return dr.frame({name: [n, 1, 1, 7]}, schema={name: pl.Int64})


def and_six(df: dr.Frame, n: int) -> dr.Frame:
    return dr.concat([df, dr.frame({"t": ["six"] * 6, "v": [n + 9] * 6, "k": ["a"] * 6})], how="diagonal")


def summed(df: dr.Frame, verb: str) -> dr.Frame:
    """One row of all, in the types that the other verbs want. Rounded: polars' two ways to read a query add floats up in different orders."""
    made = getattr(base(df).select(pl.col("v").alias("v"), pl.col("v").alias("t"), pl.col("v").alias("k")), verb)()
    text = pl.col("t").cast(pl.Float64).round(6).cast(pl.String)
    return made.select(text, pl.col("v").cast(pl.Int64), k=text.fill_null("a"))


# The name of a verb → ways to use it. None of these fails by a model's doing.
VERBS: Mapping[str, list[Verb]] = {
    "prompt": [
        lambda df, n, i: df.prompt(ASK, "Say {t}", into=f"p{i}"),
        lambda df, n, i: df.prompt(SURE, "Name {k}", into=f"p{i}"),
        lambda df, n, i: df.prompt(ASK, "Three {t}", into=f"p{i}", n=3),
        lambda df, n, i: df.prompt(ASK, "Try {t}", into=f"p{i}", n=3, until=dr.verify.regex(f"p{i}", "[13]$"), reasoning=f"thoughts{i}"),
        lambda df, n, i: df.prompt(ASK, "Of {v}", into=f"p{i}", keep={"answer": f"said{i}", "prompt": f"asked{i}"}),
        lambda df, n, i: df.prompt(ASK, "Drop {k}{v}", into=f"p{i}", on_error="drop", schema=int, repairs=0),
        lambda df, n, i: df.prompt(ASK, "Null {k}", into=f"p{i}", on_error="null", schema=int, repairs=0),
        lambda df, n, i: df.prompt(ASK, dr.Jinja("{% if t %}{{ t }}{% endif %}{{ v }}"), into=f"p{i}"),
        lambda df, n, i: df.prompt(ASK, dr.Chat([("system", "As {k}."), ("user", "{t}")]), into=f"p{i}"),
        lambda df, n, i: df.prompt(
            ASK, dr.FewShot("Do.", input="k", output="o", examples=[{"k": "a", "o": "b"}, {"k": "c", "o": "d"}], k=1, by=WORDS), into=f"p{i}"
        ),
        lambda df, n, i: df.prompt(
            ASK,
            dr.FewShot("As.", input="k", output="o", examples=base(df).head(2).prompt(SURE, "Ex {k}", into="o").select("k", "o"), min_examples=0),
            into=f"p{i}",
        ),
        lambda df, n, i: df.prompt(
            ASK, dr.Rag(question="k", docs=base(df).unique("k").prompt(SURE, "Doc {k}", into="d"), text="d", by=WORDS, k=1, min_documents=0), into=f"p{i}"
        ),
    ],
    "when": [
        lambda df, n, i: df.with_columns(v=pl.when(pl.col("v") > n).then(dr.prompt(ASK, "If {t}").str.len_chars().cast(pl.Int64)).otherwise(pl.col("v"))),
        lambda df, n, i: df.select("t", "k", v=pl.when(pl.col("k") == "a").then(dr.prompt(SURE, "B{k}").str.len_chars().cast(pl.Int64))),
        lambda df, n, i: df.with_columns(
            pl.when(pl.col("v") > n).then(pl.when(ODD).then(dr.prompt(ASK, "In {t}")).otherwise(dr.prompt(ASK, "Un {k}"))).alias(f"w{i}")
        ),
        lambda df, n, i: df.with_columns(pl.when(dr.prompt(ASK, "Is {v}").str.len_chars() > n).then(dr.prompt(ASK, "So {t}")).alias(f"w{i}")),
    ],
    "filter": [
        lambda df, n, i: df.filter(pl.col("v") > n - 3),
        lambda df, n, i: df.filter((pl.col("v") > n - 2) & (dr.prompt(ASK, "Odd {t} {v}").str.len_chars() % 2 == 1)),
        lambda df, n, i: df.filter(pl.col("v") > pl.col("v").mean()),
        lambda df, n, i: df.filter(pl.col("v") >= pl.col("v").max().over("k") - n),
        lambda df, n, i: df.filter(pl.col("v").cum_sum() > n),
        lambda df, n, i: df.filter(pl.len() > n),
        lambda df, n, i: df.filter(pl.col("v").shift(1) < n),
        lambda df, n, i: df.filter(pl.col("v").is_in(pl.col("v").head(2).implode())),
        lambda df, n, i: df.filter(pl.int_range(pl.len()) % 2 == 0),
        lambda df, n, i: df.filter(pl.col("v").map_elements(is_odd, return_dtype=pl.Boolean)),
        lambda df, n, i: df.filter(dr.prompt(ASK, "Own {t}").str.len_chars() % 2 == 1).head(n),
        lambda df, n, i: df.filter(dr.prompt(SURE, "Two {k}").str.len_chars() > 3).slice(1, n),
        lambda df, n, i: df.filter(pl.col("t").is_not_null(), dr.prompt(SURE, "One {k}").str.len_chars() > 3, k="a"),
        lambda df, n, i: df.prompt(ASK, "Of {v}", into=f"c{i}").with_columns(pl.col("v").alias(f"y{i}")).filter(pl.col(f"y{i}") > 1),
        lambda df, n, i: df.filter(False) if n == 0 else df.filter(True),
    ],
    "remove": [lambda df, n, i: df.remove(pl.col("v") > n)],
    "with_columns": [
        lambda df, n, i: df.with_columns(pl.col("v") + n, t=pl.col("t").fill_null("x")),
        lambda df, n, i: df.with_columns(pl.col("v").rank("ordinal").cast(pl.Int64).alias("v")),
        lambda df, n, i: df.with_columns(t="k", k=pl.col("t").fill_null("n")),
        lambda df, n, i: df.with_columns(pl.lit(n).alias(f"l{i}"), pl.col("v").cum_sum().alias(f"s{i}")),
        lambda df, n, i: df.with_columns(pl.col("v").shuffle(seed=n)),
        lambda df, n, i: df.with_columns(pl.struct("t", "v").alias(f"st{i}")).filter(pl.col(f"st{i}").struct.field("v") > n - 2),
        lambda df, n, i: df.with_columns(pl.col("k").cast(pl.Categorical).alias(f"cat{i}")).filter(pl.col(f"cat{i}") == "a"),
        lambda df, n, i: df.with_columns((pl.col("v") / pl.col("v")).alias(f"f{i}")).filter(pl.col(f"f{i}") == pl.col(f"f{i}")),
        lambda df, n, i: df.with_columns(pl.col("v").map_elements(digits, return_dtype=pl.Int64)),
        lambda df, n, i: df.with_columns(dr.prompt(ASK, "Mean {x}", x=pl.col("v").sum().over("k")).alias(f"m{i}")),
    ],
    "select": [
        lambda df, n, i: df.select("k", "v", "t"),
        lambda df, n, i: df.select(pl.col("t"), pl.col("k"), pl.len().over("t").cast(pl.Int64).alias("v")),
        lambda df, n, i: df.select("t", "k", v=pl.len().cast(pl.Int64)),
        lambda df, n, i: df.select("t", "k", "v", dr.prompt(ASK, "Sel {t}", into=f"s{i}")),
        lambda df, n, i: (
            df.select(pl.col("t", "v", "k").sort_by("v", descending=True)) if n else df.select(pl.col("t").head(2), pl.col("v").head(2), pl.col("k").head(2))
        ),
    ],
    "drop": [
        lambda df, n, i: df.with_columns(pl.col("t").str.len_chars().cast(pl.Int64).alias(f"n{i}")).drop(f"n{i}"),
        lambda df, n, i: df.prompt(ASK, "Un {t}", into=f"un{i}").with_columns((pl.col(f"un{i}") + "!").alias(f"u{i}")).drop(f"un{i}", f"u{i}"),
        lambda df, n, i: df.drop([c for c in df.columns if c not in "tvk"]),
    ],
    "rename": [
        lambda df, n, i: df.rename({"t": "k", "k": "t"}).with_columns(pl.col("k").fill_null("r")),
        lambda df, n, i: df.prompt(ASK, "Re {t}", into=f"r{i}").rename({"v": f"o{i}"}).filter(pl.col(f"o{i}") > n).with_columns(v=f"o{i}"),
    ],
    "cast": [
        lambda df, n, i: df.cast({"v": pl.Int32}).cast({"v": pl.Int64}),
        lambda df, n, i: df.with_columns(pl.col("v").cast(pl.String).alias(f"n{i}")).cast({f"n{i}": pl.Int64}).filter(pl.col(f"n{i}") > n),
    ],
    "sort": [
        lambda df, n, i: df.sort("k"),
        lambda df, n, i: df.sort("v", descending=True).head(n),
        lambda df, n, i: df.sort("t", "v", nulls_last=True).slice(1, n),
        lambda df, n, i: df.sort(pl.col("v").rank("min"), descending=True).tail(n),
        lambda df, n, i: df.sort(dr.prompt(SURE, "By {k}")).head(n),
    ],
    "reverse": [lambda df, n, i: df.reverse()],
    "head": [
        lambda df, n, i: df.filter(dr.prompt(ASK, "Own {t}").str.len_chars() % 2 == 1).join(few(n), on="v").head(n),
        lambda df, n, i: df.filter(dr.prompt(SURE, "Own {v}").str.len_chars() % 2 == 1).join(df.select("v", k=pl.lit("a")), on=["v", "k"]).head(n),
        lambda df, n, i: df.head(n),
    ],
    "limit": [lambda df, n, i: df.limit(n + 1)],
    "slice": [lambda df, n, i: df.slice(1, n), lambda df, n, i: df.slice(-2), lambda df, n, i: df.slice(-3, 2), lambda df, n, i: df.slice(n)],
    "tail": [lambda df, n, i: df.tail(n)],
    "gather": [lambda df, n, i: df.gather([n, 0], null_on_oob=True).drop_nulls("k")],
    "gather_every": [lambda df, n, i: df.gather_every(2, n % 2)],
    "top_k": [lambda df, n, i: df.top_k(n, by="v")],
    "bottom_k": [lambda df, n, i: df.bottom_k(n + 1, by=["k", "v"])],
    "unique": [
        lambda df, n, i: df.unique("t"),
        lambda df, n, i: df.unique("k", keep="last"),
        lambda df, n, i: df.unique(["k", "v"], keep="none"),
        lambda df, n, i: df.unique(),
    ],
    "drop_nulls": [lambda df, n, i: df.drop_nulls("t"), lambda df, n, i: df.drop_nulls()],
    "drop_nans": [lambda df, n, i: df.with_columns((pl.col("v") / pl.col("v")).alias(f"nan{i}")).drop_nans(f"nan{i}")],
    "fill_null": [lambda df, n, i: df.with_columns(pl.col("t").fill_null("f")).fill_null(0), lambda df, n, i: base(df).fill_null(strategy="forward")],
    "fill_nan": [lambda df, n, i: df.with_columns((pl.col("v") / pl.col("v")).alias(f"q{i}")).fill_nan(n)],
    "interpolate": [lambda df, n, i: df.select("t", "k", "v", dr.prompt(ASK, "Int {v}", into=f"z{i}")).interpolate().cast({"v": pl.Int64})],
    "shift": [lambda df, n, i: base(df).shift(1).with_columns(pl.col("v").fill_null(0), pl.col("k").fill_null("s"))],
    "join": [
        lambda df, n, i: df.join(df.head(2).select("k", pl.lit(n).alias(f"j{i}")).unique("k"), on="k", how="left"),
        lambda df, n, i: df.join(few(n), on="v", how="semi"),
        lambda df, n, i: df.join(few(n), on="v", how="anti"),
        lambda df, n, i: df.join(few(n, f"w{i}"), left_on="v", right_on=f"w{i}"),
        lambda df, n, i: df.join(few(n).prompt(ASK, "Side {v}", into=f"side{i}"), on="v", how="right").with_columns(pl.col("k").fill_null("a")),
        lambda df, n, i: df.join(few(n).prompt(ASK, "Side {v}", into=f"side{i}"), on="v", how="full", coalesce=True).with_columns(pl.col("k").fill_null("a")),
        lambda df, n, i: df.join(few(n).unique().select(pl.lit(n).alias(f"x{i}")).head(1), how="cross"),
        lambda df, n, i: df.join(base(df).unique("k").prompt(ASK, "Of {k}", into=f"of{i}").filter(pl.col("k") != "a").select("k", f"of{i}"), on="k"),
        lambda df, n, i: df.join(df.filter(pl.col("v") > n).select("k"), on="k", how="semi"),
        lambda df, n, i: df.join(base(df).prompt(ASK, "Both {t}", into="v_b").unique("t"), on="t", suffix=f"_{i}", nulls_equal=n > 2),
        lambda df, n, i: few(n).unique().join(df, on="v", how="left").select(*df.columns).with_columns(pl.col("k").fill_null("a")),
    ],
    "join_asof": [lambda df, n, i: df.sort("v").join_asof(few(n).unique().sort("v").prompt(SURE, "Near {v}", into=f"near{i}"), on="v")],
    "join_where": [lambda df, n, i: df.join_where(dr.frame({f"a{i}": [n, 2]}), pl.col("v") < pl.col(f"a{i}"))],
    "merge_sorted": [lambda df, n, i: base(df).sort("v").merge_sorted(base(df).filter(ODD).sort("v"), "v")],
    "update": [lambda df, n, i: df.update(dr.frame({"v": [n], "t": ["up"]}), on="v")],
    "concat": [
        lambda df, n, i: dr.concat([df, df.head(1)]),
        lambda df, n, i: dr.concat([base(df), base(df).prompt(ASK, "Con {t}", into="x").filter(pl.col("v") > n).drop("x")]),
        lambda df, n, i: dr.concat([df, dr.frame({"t": ["d"], "v": [n], "k": ["a"], f"d{i}": [n]})], how="diagonal"),
    ],
    "group_by": [
        lambda df, n, i: df.prompt(ASK, "Un {t}", into="un").group_by("k").agg(pl.col("t").last(), pl.col("v").max(), pl.col("un").first()).drop("un"),
        lambda df, n, i: df.group_by("k").agg(pl.col("t").first(), pl.col("v").sum()),
        lambda df, n, i: df.group_by("k").agg(pl.col("t").filter(pl.col("v") > n).first(), pl.len().cast(pl.Int64).alias("v")),
        lambda df, n, i: df.group_by("t").len("v").select("t", pl.col("v").cast(pl.Int64), k=pl.lit("g")),
        lambda df, n, i: (
            df.group_by("k").reduce_by(Ordinal(tone="sum"), "Sum {t}", into=f"r{i}").select(f"r{i}", "k", t=pl.lit("r"), v=pl.lit(n, dtype=pl.Int64))
        ),
    ],
    "explode": [
        lambda df, n, i: df.with_columns(l=pl.concat_list("v", "v")).prompt(ASK, "Un {t}", into=f"un{i}").explode("l").select("t", "k", v=pl.col("l")),
        lambda df, n, i: df.with_columns(pl.col("k").str.split("").alias("k")).explode("k").with_columns(pl.col("k").fill_null("e")),
        lambda df, n, i: df.prompt(ASK, "Ex {t}", into=f"e{i}", n=3).explode(f"e{i}").head(n + 1),
    ],
    "unnest": [lambda df, n, i: df.with_columns(pl.struct(pl.col("v").alias(f"u{i}")).alias(f"s{i}")).unnest(f"s{i}").filter(pl.col(f"u{i}") > n)],
    "unpivot": [lambda df, n, i: df.select("t", "k", a="v", b=pl.col("v") + n).unpivot(["a", "b"], index=["t", "k"], variable_name=f"var{i}", value_name="v")],
    "pivot": [
        lambda df, n, i: base(df).pivot("k", ["a", "b"], index="t", values="v", aggregate_function="sum").select("t", k=pl.lit("p"), v=pl.col("a")),
    ],
    "with_row_index": [
        lambda df, n, i: df.with_row_index(f"row{i}"),
        lambda df, n, i: df.with_row_index(f"row{i}").filter(pl.col(f"row{i}") > n),
    ],
    "sample": [
        lambda df, n, i: df.sample(fraction=0.5, seed=n),
        lambda df, n, i: df.sample(fraction=0.5, seed=n, shuffle=True),
        lambda df, n, i: dr.concat([df, dr.frame({"t": ["s"], "v": [n], "k": ["a"]})], how="diagonal").sample(n, with_replacement=True, seed=n),
    ],
    "shuffle": [lambda df, n, i: df.shuffle(n)],
    "split": [
        lambda df, n, i: df.split(train=0.6, test=0.4, seed=n)["train"],
        lambda df, n, i: dr.concat([*df.split(train=0.5, test=0.5, seed=n)]),
    ],
    "shard": [lambda df, n, i: df.shard(2, n % 2), lambda df, n, i: df.shard(2, n % 2, contiguous=True)],
    "repeat_to": [lambda df, n, i: dr.concat([df, dr.frame({"t": ["s"], "v": [n], "k": ["a"]})], how="diagonal").repeat_to(n + 3)],
    "map": [
        lambda df, n, i: df.map(doubled, schema={"v": pl.Int64}),
        lambda df, n, i: df.map(length, into=f"len{i}", schema=int),
    ],
    "map_batches": [lambda df, n, i: df.map_batches(first_half)],
    "embed": [lambda df, n, i: df.embed(WORDS, "k", into=f"e{i}")],
    "similarity": [lambda df, n, i: df.similarity("k", "t", by=WORDS, into=f"sim{i}")],
    "retrieve": [
        lambda df, n, i: df.retrieve(dr.frame({"d": ["a", "b"]}).prompt(SURE, "Doc {d}", into="doc"), query="k", text="doc", by=WORDS, k=1, into=f"hit{i}")
    ],
    "dedup": [
        lambda df, n, i: df.dedup("t"),
        lambda df, n, i: df.dedup("k", method="embedding", by=WORDS, threshold=0.9),
        lambda df, n, i: df.dedup("k", method="minhash", threshold=0.5),
    ],
    "cluster": [
        lambda df, n, i: dr.concat([df, dr.frame({"t": ["s", "s"], "v": [n, n], "k": ["a", "b"]})], how="diagonal").cluster("k", k=1, by=WORDS, into=f"cl{i}"),
    ],
    "extract": [lambda df, n, i: df.extract(ASK, {"city": str}, "k", into=f"x{i}", on_error="null", repairs=0)],
    "classify": [
        lambda df, n, i: df.classify(NamingClassifier(), ["a", "b"], "k", into=f"y{i}"),
        lambda df, n, i: df.classify(ASK, ["a", "b"], "k", into=f"y{i}", on_error="null", repairs=0),
        lambda df, n, i: df.classify(LABELLING, ["a", "b"], "k", into=f"y{i}", cascade=dr.Cascade(NamingClassifier(), accuracy=0.2, delta=0.5)),
    ],
    "filter_by": [
        lambda df, n, i: df.filter_by(ASK, "Keep {t}{v}", parse=is_even),
        lambda df, n, i: df.filter_by(SURE, "Keep {k}{v}", parse=is_even).head(n),
        lambda df, n, i: df.filter_by(ASK, "Keep {t}{v}", parse=is_even, cascade=dr.Cascade(PROXY, recall=0.3, precision=0.2, delta=0.5)),
        lambda df, n, i: df.filter_by(SURE, "Keep {k}{v}", parse=is_even, cascade=dr.Cascade(PROXY, accuracy=0.3, delta=0.5)).head(n),
        lambda df, n, i: df.filter_by(ASK, "Like {k}{v}", probability=f"p{i}"),
    ],
    "verify": [lambda df, n, i: df.verify(dr.verify.exact("k", "t"), into=f"ok{i}")],
    "calibrate": [
        lambda df, n, i: df.prompt(ASK, "Is {k}{v} a", schema=bool, into=f"is{i}", probability=f"p{i}").calibrate(
            f"p{i}", "gold", labelled=dr.frame({f"is{i}": [True, False] * 12, f"p{i}": [0.5, 0.7, 0.9] * 8, "gold": [True, True, False] * 8})
        ),
    ],
    "rank_by": [
        lambda df, n, i: df.rank_by(SURE, "Rate {k}{v}", parse=points, into=f"rank{i}"),
        lambda df, n, i: df.rank_by(ASK, "Rate {k}", parse=points, into=f"rank{i}", threshold=2.0),
    ],
    "top_k_by": [
        lambda df, n, i: df.top_k_by(ASK, "Top {v}", n + 1, parse=points, into=f"top{i}"),
        lambda df, n, i: df.top_k_by(Comparing(), "Longer? {k}{v}", n + 1, compare=True, window=(None, 3)[n % 2], into=f"top{i}"),
    ],
    "score": [lambda df, n, i: df.score(ASK, {"depth": "Is it deep?"}, "k", into=f"sc{i}", on_error="null", repairs=0)],
    "judge": [
        lambda df, n, i: df.judge(SURE, a="t", b="k", parse=which, into=f"win{i}"),
        lambda df, n, i: df.judge(ASK, a="t", b="k", parse=which, into=f"win{i}", swap="both"),
    ],
    "to_preferences": [
        lambda df, n, i: (
            df.judge(SURE, prompt="t", a="k", b="t", parse=which, into=f"win{i}", swap="never")
            .to_preferences()
            .select(t="prompt", k=pl.col("chosen").fill_null("c"), v=pl.lit(n, dtype=pl.Int64))
        ),
    ],
    "best_worst": [lambda df, n, i: df.best_worst("k", by="v", prompt="t").select(t="prompt", k="chosen", v=pl.lit(n, dtype=pl.Int64))],
    "bradley_terry": [lambda df, n, i: df.bradley_terry("k", "t", "t", draws=n).select(t="item", k=pl.lit("b"), v=pl.col("wins").cast(pl.Int64))],
    "join_by": [
        lambda df, n, i: df.join_by(few(n).unique().rename({"v": f"jb{i}"}), ASK, f"Fit {{k}} {{jb{i}}}", parse=is_even),
        lambda df, n, i: df.join_by(
            few(n).rename({"v": f"jb{i}"}), SURE, f"Fit {{k}} {{jb{i}}}", parse=is_even, cascade=dr.Cascade(PROXY, precision=0.2, delta=0.5)
        ),
        lambda df, n, i: (
            df.join_by(base(df).unique("k"), SURE, "Same {k} {k_right}", parse=is_even, suffix="_right").head(n).select(*df.columns)
            if not any(c.endswith("_right") for c in df.columns)
            else df
        ),
    ],
    "until": [
        lambda df, n, i: and_six(df, n).prompt(ASK, "Try {k}{v}", into=f"try{i}").until(n + 1, where=(pl.col(f"try{i}") != "") & (pl.col("v") != 1)),
        lambda df, n, i: and_six(df, n).until(n + 1, where=dr.prompt(SURE, "May {k}").str.len_chars() > 3),
    ],
    "converse": [lambda df, n, i: df.converse(ASK, "Hear {k}{v}", user=SURE, max_turns=2, into=f"talk{i}", until="9")],
    "cite": [lambda df, n, i: df.cite(license="mit")], "tune": [],  # it runs when it is called, and what it gives is a prompt
    "own row step": [lambda df, n, i: dr.Frame(Shouted(inputs=(df.step,), column="k", into=f"own{i}"))],
    "own table step": [lambda df, n, i: dr.Frame(Backwards(inputs=(df.step,)))],
    **{verb: [lambda df, n, i, verb=verb: summed(df, verb)] for verb in ("count", "max", "mean", "median", "min", "null_count", "std", "sum", "var")},
    "quantile": [
        lambda df, n, i: base(df).select("v", t="v", k="v").quantile(0.5).select(pl.col("t").cast(pl.String), pl.col("v").cast(pl.Int64), k=pl.lit("q"))
    ],
}

ASKED = pl.col("t") + pl.col("k")
# Models that refuse some prompts, with every on_error.
FAILING: list[Verb] = [
    lambda df, n, i: df.prompt(POOR, "Say {t}{k}", into=f"fa{i}", on_error="null"),
    lambda df, n, i: df.prompt(POOR, "Say {t}{v}", into=f"fb{i}", on_error="drop"),
    lambda df, n, i: df.prompt(POOR_SURE, "Say {k}{v}", into=f"fc{i}", on_error="drop"),
    lambda df, n, i: df.prompt(POOR, "Three {t}", into=f"fd{i}", n=3, on_error="null"),
    lambda df, n, i: df.prompt(POOR_SURE, "Or {v}", into=f"fe{i}", on_error="raise"),
    lambda df, n, i: df.with_columns(pl.when(pl.col("v") > 2).then(dr.prompt(POOR, "If {t}", on_error="drop")).otherwise(pl.lit("-")).alias(f"ff{i}")),
    lambda df, n, i: df.with_columns(pl.when(pl.col("v") > 2).then(dr.prompt(POOR, "If {x}", x=ASKED, on_error="null")).otherwise(pl.lit("-")).alias(f"fg{i}")),
    lambda df, n, i: df.filter((dr.prompt(POOR, "Is {k}{v}", on_error="null").str.len_chars() % 2 == 0) & (pl.col("k") == "a")),
    lambda df, n, i: df.filter_by(POOR, "Keep {t}{v}", parse=is_even, on_error="drop").head(n),
    lambda df, n, i: df.judge(POOR, a="t", b="k", parse=which, into=f"fh{i}", on_error="drop"),
    lambda df, n, i: df.join_by(few(n).unique().rename({"v": f"fi{i}"}), POOR_SURE, f"Fit {{k}} {{fi{i}}}", parse=is_even, on_error="drop"),
    lambda df, n, i: and_six(df.prompt(POOR, "Try {t}{v}", into=f"fj{i}", on_error="drop"), n).until(
        n + 1, where=dr.prompt(POOR, "May {t}", on_error="null").is_null()
    ),
    lambda df, n, i: df.map(inverse, into=f"fk{i}", schema=float, on_error="null"),
    lambda df, n, i: df.join(base(df).prompt(POOR, "R {k}", into=f"fl{i}", on_error="drop").unique("k").select("k", f"fl{i}"), on="k"),
]
