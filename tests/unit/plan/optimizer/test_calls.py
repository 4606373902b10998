"""What plans ask a server: of 2,000 rows, only those that somebody reads. The same with a model that samples, and with the rows of the plan as it is written.

The sentence of docs/reference/verbs.md about who is asked is written out of the table below: run this with UPDATE_GOLDENS=1 after a new row.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.models.base import LLM
from tests.golden.files import UPDATING
from tests.laws.cases import Ordinal
from tests.loopback import Loopback

ROWS = 2_000
PAGE = Path(__file__).parents[4] / "docs" / "reference" / "verbs.md"
START, END = "<!-- who is asked: written by tests/unit/plan/optimizer/test_calls.py -->", "<!-- who is asked: end -->"
Plan = Callable[[dr.Frame, dr.Frame, LLM], dr.Frame]


def table(n: int = ROWS) -> dr.Frame:
    """Rows whose texts are not all different: a model that samples is asked about some of them several times."""
    draw = random.Random(0)
    return dr.frame({"i": range(n), "g": [i % 10 for i in range(n)], "t": [f"text {draw.randrange(n)}" for _ in range(n)]})


def three() -> dr.Frame:
    return dr.frame({"i": [5, 7, 9, 5_000]})


def kinds() -> dr.Frame:
    return dr.frame({"i": range(0, ROWS, 2), "kind": ["x", "y", "z", "x"] * (ROWS // 8)})


def even(model: LLM, text: str = "Is it even? {t}") -> pl.Expr:
    """A condition of the model's own, true for about every second row."""
    return dr.prompt(model, text).str.len_chars() % 2 == 0


# name → (plan over the rows and over a prompt of each, the most that it asks, the verbs that it proves to leave rows or columns unasked)
PLANS: dict[str, tuple[Plan, int, *tuple[str, ...]]] = {
    "filter of a source column": (lambda rows, said, m: said.filter(pl.col("g") == 3), 200, "filter"),
    "that filter, then head": (lambda rows, said, m: said.filter(pl.col("g") == 3).head(10), 10, "head"),
    "filter of a column made of source columns": (lambda rows, said, m: said.with_columns(h=pl.col("g") * 2).filter(pl.col("h") == 6), 200),
    "filter of a column under another name": (lambda rows, said, m: said.rename({"g": "h"}).select("said", k="h").filter(pl.col("k") == 3), 200),
    "filter above numbers of rows": (lambda rows, said, m: said.with_row_index("n").filter(pl.col("n") < 7), 7),
    "filter above a sort": (lambda rows, said, m: said.sort("t").filter(pl.col("g") == 3), 200),
    "filter above a join": (lambda rows, said, m: said.join(table(), on="i", how="left").filter(pl.col("g") == 3), 200),
    "filter by the other side of a join, then head": (lambda rows, said, m: said.join(kinds(), on="i").filter(pl.col("kind") == "x").head(10), 10),
    "filter above rows below one another": (
        lambda rows, said, m: dr.concat([said, rows.head(100).prompt(m, "And {t}", into="said")]).filter(pl.col("g") == 3),
        210,
    ),
    "two filters of one prompt": (lambda rows, said, m: dr.concat([said.filter(pl.col("g") == 3), said.filter(pl.col("g") == 4, pl.col("i") < 900)]), 290),
    "head above the reverse": (lambda rows, said, m: said.reverse().head(3), 3),
    "head above rows below one another": (lambda rows, said, m: dr.concat([said.head(4), said, rows.prompt(m, "And {t}", into="said")]).head(6), 6),
    "head above the rows of a model's filter and others": (lambda rows, said, m: dr.concat([rows.filter(even(m)), rows]).head(10), 10 * 2 + 128),
    "filter by a mean": (lambda rows, said, m: said.filter(pl.col("i") > pl.col("i").mean() + 900), 100),
    "filter by the greatest of each group": (lambda rows, said, m: said.filter(pl.col("i") == pl.col("i").max().over("g")), 10),
    "filter by a list": (lambda rows, said, m: said.filter(pl.col("i").is_in([4, 8])), 2),
    "remove": (lambda rows, said, m: said.remove(pl.col("g") > 0), 200, "remove"),
    "select without the answer": (lambda rows, said, m: said.select("i", "t"), 0, "select"),
    "drop of the answer": (lambda rows, said, m: said.with_columns(h=pl.col("g") * 2).drop("said"), 0, "drop"),
    "number of rows": (lambda rows, said, m: said.select(pl.len()), 0),
    "groups of source columns": (lambda rows, said, m: said.group_by("g").agg(pl.len(), pl.col("i").sum().alias("n")), 0, "group_by"),
    "sizes of groups of the rows that a filter leaves": (lambda rows, said, m: said.filter(pl.col("g") > 5).group_by("g").len(), 0),
    "head over the model's own filter": (lambda rows, said, m: rows.filter(even(m)).head(10), 10 * 2 + 128),
    "cheap condition beside the model's": (lambda rows, said, m: rows.filter(even(m) & (pl.col("g") == 3)), 200),
    "cheap filter above the model's": (lambda rows, said, m: rows.filter(even(m)).filter(pl.col("g") == 3), 200),
    "when, then": (lambda rows, said, m: rows.with_columns(x=pl.when(pl.col("g") == 3).then(dr.prompt(m, "Say {t}")).otherwise(pl.lit("-"))), 200, "when/then"),
    "when, then, otherwise": (
        lambda rows, said, m: rows.select("i", x=pl.when(pl.col("g") == 3).then(dr.prompt(m, "A {t}")).when(pl.col("g") == 4).then(dr.prompt(m, "B {t}"))),
        400,
    ),
    "when within when": (lambda rows, said, m: rows.select(x=pl.when(pl.col("g") == 3).then(pl.when(pl.col("i") < 100).then(dr.prompt(m, "A {t}")))), 10),
    "sort, head": (lambda rows, said, m: said.sort("t", descending=True).head(10), 10),
    "the ten greatest": (lambda rows, said, m: said.top_k(10, by="i"), 10, "top_k"),
    "the ten least": (lambda rows, said, m: said.bottom_k(10, by=["g", "i"]), 10, "bottom_k"),
    "join that keeps three": (lambda rows, said, m: said.join(three(), on="i"), 3, "join"),
    "join of the answers to three": (lambda rows, said, m: three().join(said, on="i", how="left"), 3),
    "semi-join": (lambda rows, said, m: said.join(three(), on="i", how="semi"), 3),
    "anti-join": (lambda rows, said, m: said.join(table().filter(pl.col("g") > 0), on="i", how="anti"), 200),
    "sample": (lambda rows, said, m: said.sample(10), 10, "sample"),
    "shuffle": (lambda rows, said, m: said.shuffle(seed=1).head(4), 4, "shuffle"),
    "split": (lambda rows, said, m: said.split(train=0.99, test=0.01)["test"], 20, "split"),
    "shard": (lambda rows, said, m: said.shard(200, 7), 10, "shard"),
    "unique": (lambda rows, said, m: said.unique("g").filter(pl.col("g") < 2), 2, "unique"),
    "drop_nulls": (lambda rows, said, m: rows.with_columns(x=pl.when(pl.col("i") < 9).then("i")).prompt(m, "Say {t}").drop_nulls("x"), 9, "drop_nulls"),
    "drop_nans": (lambda rows, said, m: rows.with_columns(x=(8 - pl.col("i")).sqrt()).prompt(m, "Say {t}").drop_nans("x"), 9, "drop_nans"),
    "tail": (lambda rows, said, m: said.tail(3), 3, "tail"),
    "gather": (lambda rows, said, m: said.gather([7, 1]), 2, "gather"),
    "gather_every": (lambda rows, said, m: said.gather_every(500), 4, "gather_every"),
    "slice": (lambda rows, said, m: said.slice(1_000, 4), 4, "slice"),
    "limit": (lambda rows, said, m: said.limit(4), 4, "limit"),
    "head above rows of a list": (lambda rows, said, m: said.with_columns(pl.col("said").str.split(" ")).explode("said").head(9), 9),
    "until": (lambda rows, said, m: said.until(5, where=pl.col("g") == 3), 200, "until"),
    "two prompts, the second read": (lambda rows, said, m: said.prompt(m, "More of {t}", into="more").filter(pl.col("g") == 3).drop("said"), 200),
    "head over pairs": (lambda rows, said, m: rows.head(60).join_by(rows.head(60), m, "Yes {t} {t_right}").head(5), 5),
}
TEMPERATURES = pytest.mark.parametrize("temperature", [0, None], ids=["greedy", "sampled"])


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback(keep=False) as serving:
        yield serving


@TEMPERATURES
@pytest.mark.parametrize("name", PLANS)
def test_a_plan_asks_a_server_about_the_rows_that_somebody_reads(name: str, temperature: float | None, server: Loopback) -> None:
    made, most, *_ = PLANS[name]
    model = dr.OpenAI("gpt-4o-mini", base_url=server.url, api_key="none", temperature=temperature)
    plan = made(table(), table().prompt(model, "Say {t}", into="said"), model)
    before = server.n_calls
    with dr.Session(None) as session:
        assert plan.collect().schema == plan.schema
        assert server.n_calls - before == session.usage()["calls"]
    assert server.n_calls - before <= most


@TEMPERATURES
@pytest.mark.parametrize("name", PLANS)
def test_the_rows_are_those_of_the_plan_as_it_is_written(name: str, temperature: float | None) -> None:
    model = Ordinal(temperature=temperature)
    plan = PLANS[name][0](table(200), table(200).prompt(model, "Say {t}", into="said"), model)
    with dr.Session(None):
        found = plan.collect()
    with dr.Session(None):
        assert found.equals(plan.collect(optimize=False))


def told(names: Iterable[str]) -> str:
    """Names in one line of prose.

    >>> told(["b", "a", "c"])
    '`a`, `b` and `c`'
    """
    *most, last = [f"`{name}`" for name in sorted(names)]
    return f"{', '.join(most)} and {last}"


def test_the_page_of_verbs_says_which_verbs_leave_rows_unasked() -> None:
    kept, unread = ({verb for _, n, *verbs in PLANS.values() for verb in verbs if (n == 0) is is_unread} for is_unread in (False, True))
    sentence = (
        f"Above a model's column that they do not read, these leave only the rows that they keep to ask about: {told(kept)}. "
        f"A column that nobody reads is not asked for: {told(unread)}."
    )
    before, start, rest = PAGE.read_text().partition(START)
    held, end, after = rest.partition(END)
    assert start
    assert end
    if UPDATING:
        PAGE.write_text(f"{before}{START}\n{sentence}\n{END}{after}")
        held = f"\n{sentence}\n"
    assert held.strip() == sentence, "run with UPDATE_GOLDENS=1 if a row of the table is new"
    assert kept | unread <= {*dir(dr.Frame), "when/then"}


def test_a_rule_that_is_off_is_not_used() -> None:
    plan = table().prompt(Ordinal(), "Say {t}", into="said").filter(pl.col("g") == 3)
    with dr.Session(None) as session:
        assert plan.collect(optimize={"choices_down": False}).height == 200
        assert session.usage()["calls"] == ROWS
    with pytest.raises(SettingError, match=r"optimize={'choice': False} is not .* the rules are"):
        plan.collect(optimize={"choice": False})


def test_explain_tells_which_rule_did_what() -> None:
    plan = table().prompt(Ordinal(), "Say {t}", into="said").filter(pl.col("g") == 3).head(2)
    with dr.Session(None):
        told = plan.explain(rules=True)
        assert "choices_down: FILTER" in told
        assert "rules: none was used" in table().explain(rules=True)


def test_a_function_of_the_users_is_called_though_nobody_reads_its_column() -> None:
    called: list[int] = []

    def noted(row: dict[str, int]) -> dict[str, int]:
        called.append(row["i"])
        return {"n": 1}

    with dr.Session(None):
        dr.frame({"i": [1, 2]}).map(dr.versioned(noted, version=1), schema={"n": pl.Int64}).select("i").collect()
    assert called == [1, 2]


def test_rows_that_are_not_read_do_not_fail() -> None:
    refusing = Ordinal(refuses=lambda prompt: prompt.endswith("3"))
    plan = dr.frame({"i": range(10)}).prompt(refusing, "Say {i}", into="said")
    with dr.Session(None):
        assert plan.filter(pl.col("i") < 3).collect().height == 3
        with pytest.raises(dr.errors.RowsFailedError):
            plan.filter(pl.col("i") < 4).collect()
