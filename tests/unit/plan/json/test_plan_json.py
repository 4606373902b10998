"""Plans as JSON: what goes in comes out as it was; what is no plan, or would run code, is refused."""

from __future__ import annotations

import base64
import contextlib
import copy
import enum
import json
import pickle
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal, Optional

import polars as pl
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.errors import PlanFormatError
from dreamframe.identity.whose_code import recorded
from dreamframe.names import public_names
from dreamframe.plan import step as steps
from dreamframe.plan.json import expressions
from dreamframe.plan.json.registry import PLACES, record_class
from dreamframe.plan.step import Step, step

ROWS = {"t": ["tea", "rain", None], "n": [1, 2, 3]}


class Ticket(pydantic.BaseModel):
    title: str
    tags: list[str] = []


class Mood(enum.Enum):
    good = "good"
    bad = "bad"


@step
class Doubled(steps.PolarsStep):
    """A step of the user's own."""

    column: str

    def apply(self, *frames: pl.LazyFrame) -> pl.LazyFrame:
        return frames[0].with_columns(pl.col(self.column) * 2)


@dataclass(frozen=True)
class Polite(dr.testing.Echo):
    """A model of the user's own."""

    tone: str = "kind"


def shout(row: dict[str, Any]) -> dict[str, Any]:
    return {"loud": (row["t"] or "").upper()}


def clip(text: str) -> str:
    return text[:2]


def frame() -> dr.Frame:
    return dr.frame(ROWS)


def asked(**settings: Any) -> dr.Frame:
    return frame().prompt(dr.testing.Echo(), "{t}", **settings)


@cache
def base() -> str:
    """A folder of weights, as far as a plan looks at it."""
    folder = Path(tempfile.mkdtemp(prefix="base-"))
    (folder / "config.json").write_text("{}")
    return str(folder)


def trained() -> dr.Model:
    return frame().train(dr.SFT(base(), steps=2, peft={"r": 4}), prompt="t", completion="t")


PLANS: dict[str, Callable[[], Any]] = {
    "verbs": lambda: frame().filter(pl.col("n") > 1).sort("n", descending=True).unique("t").with_row_index().rename({"n": "m"}),
    "two frames": lambda: dr.concat([frame(), frame()]).join(frame(), on="n", how="left"),
    "types": lambda: frame().cast({"n": pl.Decimal(10, 2)}).with_columns(d=pl.lit(date(2026, 1, 2)).cast(pl.Datetime("us", "Europe/Berlin"))),
    "types that Arrow has not": lambda: dr.frame(
        pl.DataFrame({"i": [2**100, -1], "e": ["b", "a"], "l": [["a"], []]}, schema={"i": pl.Int128, "e": pl.Enum(["b", "a"]), "l": pl.List(pl.Enum(["a"]))})
    ),
    "enum": lambda: frame().with_columns(pl.col("t").cast(pl.Enum(["tea", "rain"])), pl.col("n").is_in([1, 2]).alias("few")),
    "selector": lambda: frame().drop(pl.selectors.numeric()),
    "series": lambda: frame().with_columns(pl.lit(pl.Series("s", [1.5, None, 2.0]))),
    "labels": lambda: asked(schema=["tea", "rain"]),
    "literal": lambda: asked(schema=Literal["tea", "rain"]),
    "optional": lambda: asked(schema=Optional[int]),  # noqa: UP045  as users write it
    "union": lambda: asked(schema=list[int] | None),
    "json schema": lambda: asked(schema={"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}),
    "polars type": lambda: asked(schema=pl.Struct({"a": pl.Int64, "b": pl.List(pl.String)})),
    "enum of python": lambda: asked(schema=Mood),
    "pydantic": lambda: asked(schema=Ticket),
    "list of pydantic": lambda: asked(schema=list[Ticket]),
    "function": lambda: frame().map(shout, schema={"loud": pl.String}).prompt(dr.testing.Echo(), "{t}", parse=clip, into="a"),
    "few shot over a frame": lambda: frame().prompt(dr.testing.Echo(), dr.FewShot("Do.", input="t", output="t", examples=frame().drop_nulls()), into="a"),
    "retrieve": lambda: frame().retrieve(frame(), query="t", text="t", by=dr.testing.WordEmbedder(), k=2),
    "a tuned model": lambda: frame().prompt(trained().llm(temperature=0), "{t}", into="a"),
    "training": trained,
    "parallel": lambda: frame().prompt(dr.Parallel(dr.OpenAI("a"), dr.Anthropic("b")), "{t}"),
    "settings": lambda: frame().prompt(dr.OpenAI("m", logit_bias={"7": 1.5}, stop=["x"], extra={"top_k": 3}), "{t}", temperature=0.5),
    "own step": lambda: dr.Frame(Doubled(inputs=(frame().step,), column="n")),
    "own model": lambda: frame().prompt(Polite(tone="very kind"), "{t}"),
    "recipe": lambda: dr.recipes.evolve(frame().drop_nulls(), dr.testing.Echo(), "t", rounds=2),
    "nothing": lambda: dr.frame(pl.DataFrame({"a": []}, schema={"a": pl.List(pl.Date)})),
}
FUNCTIONS = {"Ticket": Ticket, "shout": shout, "clip": clip, "Doubled": Doubled, "Polite": Polite}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_read_as_it_was_written(name: str) -> None:
    plan = PLANS[name]()
    back = dr.from_json(plan.to_json(), functions=FUNCTIONS, allow=[base()])
    assert type(back) is type(plan)
    assert back.explain() == plan.explain()
    assert back.step.schema == plan.step.schema
    assert back.step.key({}) == plan.step.key({}), "so that what was made of it is found again"
    assert back.to_json() == plan.to_json()


def test_a_plan_that_was_read_gives_the_same_rows() -> None:
    plan = PLANS["function"]()
    assert dr.from_json(plan.to_json(), functions=[clip, shout]).collect().equals(plan.collect())


def test_files_are_named_and_read_where_the_plan_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pl.DataFrame(ROWS).write_csv("rows.csv")
    text = dr.scan_csv("rows.csv", skip_rows=0).to_json()
    assert dr.from_json(text).collect().equals(pl.read_csv("rows.csv"))
    Path("rows.csv").unlink()
    with pytest.raises(dr.errors.PlanError, match=r"no such file: 'rows\.csv'"):
        dr.from_json(text).collect()


def test_a_key_is_never_written() -> None:
    llm = dr.OpenAI("m", api_key="sk-secret-123456", base_url="https://me:sk-hidden-1@host.invalid/v1?key=sk-query-99", headers={"X": "sk-header-77"})
    text = frame().prompt(llm, "{t}").to_json()
    assert not [s for s in ("sk-secret", "sk-hidden", "sk-query", "sk-header") if s in text]


def test_values_of_every_kind_come_back() -> None:
    from dreamframe.identity.fingerprint import fingerprint
    from dreamframe.plan.json.read import Reader
    from dreamframe.plan.json.write import Writer

    values = (None, True, 1, 2**90, 1.5, float("inf"), "x\ud800", b"\xff", [1], {"a": (1, 2)}, {1, 2}, frozenset({"b"}), date(2026, 1, 2), Decimal("1.50"))
    values += (datetime(2026, 1, 2, 3, tzinfo=UTC), timedelta(days=1, microseconds=3), Path("a/b"), int, pl.Int64, pl.Schema({"a": pl.Int8}), pl.col("a") + 1)
    writer = Writer(lambda _: None)
    back = Reader({}, None, trust_remote_code=False).value(json.loads(json.dumps(writer.value(values))))
    assert fingerprint(back) == fingerprint(values)
    assert [type(v) for v in back] == [type(v) for v in values]


# What is refused


def test_a_function_that_is_missing_is_asked_for() -> None:
    with pytest.raises(PlanFormatError, match=r"the function 'shout' of tests\.unit\.plan\.json\.test_plan_json.*functions=\{'shout': shout\}"):
        dr.from_json(frame().map(shout, schema={"loud": pl.String}).to_json())


def test_a_function_that_differs_is_refused() -> None:
    def shout(row: dict[str, Any]) -> dict[str, Any]:
        return {"loud": row["t"]}

    text = PLANS["function"]().to_json()
    with pytest.raises(PlanFormatError, match="the function 'shout' that you passed is not the one the plan was made with"):
        dr.from_json(text, functions=[shout, clip])


def test_two_functions_of_one_name_are_told_apart() -> None:
    first, second = (lambda row: {"a": row["n"]}), (lambda row: {"b": row["n"] + 1})
    plan = frame().map(first, schema={"a": pl.Int64}).map(second, schema={"b": pl.Int64})
    back = dr.from_json(plan.to_json(), functions={"one": second, "two": first})
    assert back.collect().equals(plan.collect())


@pytest.mark.parametrize(
    "expr",
    [pl.col("t").map_elements(str.upper, return_dtype=pl.String), pl.col("t").map_batches(lambda s: s), pl.col("t").name.map(str.upper)],
    ids=["map_elements", "map_batches", "name.map"],
)
def test_a_python_function_inside_an_expression_is_refused_with_the_way_out(expr: pl.Expr) -> None:
    with pytest.raises(PlanFormatError, match=r"with_columns: this plan cannot be written as JSON.*df\.map"):
        frame().with_columns(expr).to_json()


def test_what_polars_does_not_read_again_is_refused() -> None:
    with pytest.raises(PlanFormatError, match="does not read the expression"):
        frame().with_columns(pl.lit(float("nan")).alias("x")).to_json()


class Boom:
    """Opened with pickle, it would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def hostile(path: Path) -> dict[str, Any]:
    """Expressions that a stranger may write, each with code or bad bytes inside."""
    bomb = list(b"PLPYFN" + pickle.dumps(Boom(path)))
    bare = [0, 11, 7, *b"cos\nsystem\n(S'>boom'\ntR."]  # as polars writes what it calls back: a flag, the version of Python, a pickle
    column = {"Column": "t"}
    return {
        "a pickle as a function": {"AnonymousFunction": {"input": [column], "function": bomb, "options": {}, "fmt_str": "f"}},
        "a pickle as an aggregate": {"AnonymousAgg": {"input": [column], "function": bomb}},
        "a pickle that renames": {"RenameAlias": {"function": {"Map": bomb}, "expr": column}},
        "a pickle that is a text": {"RenameAlias": {"function": {"Map": "PLPYFN"}, "expr": column}},
        "a pickle that is called back": {"PipeWithDtype": {"input": [column], "callback": bomb}},
        "a short pickle under a name of another polars": {"Evaluated": {"input": [column], "with": list(b"PLPYUDFcos\nsystem\n(S'id'\ntR.")}},
        "a plugin": {"Function": {"input": [column], "function": {"FfiPlugin": {"lib": "evil.so", "symbol": "f", "kwargs": []}}}},
        "a short pickle, its field not named": {"Function": {"input": [column, column], "function": {"FoldHorizontal": [bare, False, None]}}},
        "the same as a text": {"Function": [[column, column], {"ReduceHorizontal": ["".join(map(chr, bare)), False, None]}]},
        "a short pickle that adds up": {"Function": {"input": [column], "function": {"CumFoldHorizontal": [bare, False, None, False]}}},
        "a short pickle that names fields": {"Function": {"input": [column], "function": {"StructExpr": {"MapFieldNames": bare}}}},
        "a short pickle over windows": {"Function": {"input": [column], "function": {"RollingExpr": {"function": {"Map": bare}, "options": {}}}}},
        "a plan inside": {"SubPlan": [{"PythonScan": {}}, []]},
        "bytes that are no table": {"Literal": {"Series": [255, 255, 255, 255, 184, 0, 0, 0, 1, 2, 3]}},
        "a table that is a text": {"Literal": {"Series": "\x00\x01"}},
        "a table of bad offsets": {"Literal": {"Series": _bad_table()}},
        "no expression": {"Nonsense": 1},
    }


def _bad_table() -> list[int]:
    texts = pl.lit(pl.Series("s", ["ab", "cd", "longer than an inline view holds, by far"]))
    data = bytearray(json.loads(texts.meta.serialize(format="json"))["Literal"]["Series"])
    for i in range(400, len(data) - 40, 4):
        data[i] ^= 0x7F
    return list(data)


@pytest.mark.parametrize("name", hostile(Path()))
def test_an_expression_of_a_stranger_runs_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record = json.loads(frame().filter(pl.col("n") > 1).to_json())
    record["steps"][1]["fields"]["args"] = [[{"$expr": hostile(tmp_path / "boom")[name]}]]
    with pytest.raises(PlanFormatError):
        dr.from_json(json.dumps(record))
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("depth", [200, 100_000])
def test_an_expression_without_end_is_refused(depth: int) -> None:
    record = json.loads(frame().filter(pl.col("n") > 1).to_json())
    record["steps"][1]["fields"]["args"] = [[{"$expr": "HERE"}]]
    text = json.dumps(record).replace('"HERE"', '{"Alias":[' * depth + '{"Column":"t"}' + ',"t"]}' * depth)
    with pytest.raises(PlanFormatError):
        dr.from_json(text)


def changed(change: Callable[[dict[str, Any]], Any], plan: Any = None) -> str:
    record = json.loads((frame().head(2) if plan is None else plan).to_json())
    change(record)
    return json.dumps(record)


STRANGE: dict[str, tuple[Callable[[], str], str]] = {
    "no JSON": (lambda: "tea", "this is not JSON"),
    "another JSON": (lambda: "[1]", "not a plan of dreamframe"),
    "newer format": (lambda: changed(lambda r: r.update(plan=2)), "format 2; this dreamframe reads format 1"),
    "unknown record": (lambda: changed(lambda r: r["steps"][1].update(step="Shell")), "there is no record 'Shell'"),
    "a class elsewhere": (lambda: changed(lambda r: r["steps"][1].update(step="subprocess.Popen")), "there is no record"),
    "a record as a step": (lambda: changed(lambda r: r["steps"][1].update(step="Sampling")), "Sampling is not a step"),
    "a loop": (lambda: changed(lambda r: r["steps"][1].update(inputs=[1])), "does not come before it"),
    "below the first": (lambda: changed(lambda r: r["steps"][1].update(inputs=[-1])), "does not come before it"),
    "another verb": (lambda: changed(lambda r: r["steps"][1]["fields"].update(verb="sink_csv")), "'sink_csv' is no verb"),
    "a hidden verb": (lambda: changed(lambda r: r["steps"][1]["fields"].update(verb="__class__")), "is no verb"),
    "unknown value": (lambda: changed(lambda r: r["steps"][1]["fields"].update(args=[{"$eval": "1"}])), "no kind of value '\\$eval'"),
    "unknown field": (lambda: changed(lambda r: r["steps"][1]["fields"].update(more=1)), "more"),
    "no rows": (lambda: changed(lambda r: r["steps"][0].pop("rows")), "the plan cannot be read|missing"),
    "bad rows": (lambda: changed(lambda r: r["steps"][0].update(rows={"arrow": base64.b64encode(b"tea").decode()})), "rows of the plan cannot be read"),
    "rows elsewhere": (lambda: changed(lambda r: r["steps"][0].update(rows={"kept": "0" * 32, "label": "rows"})), "session.plan"),
    "an unnamed function": (lambda: changed(lambda r: r["steps"][1]["fields"].update(args=[{"$given": "f"}])), "does not say what it is"),
    "code of a repository": (
        lambda: changed(lambda _: None, frame().prompt(dr.Transformers("org/model", trust_remote_code=True), "{t}")),
        "trust_remote_code=True",
    ),
    "an input too many": (lambda: changed(lambda r: r["steps"][1].update(inputs=None)), "the plan cannot be read"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_text_that_is_no_plan_is_refused(name: str) -> None:
    make, message = STRANGE[name]
    with pytest.raises(dr.errors.PlanError, match=message):
        dr.from_json(make())


def test_code_of_a_repository_runs_when_the_user_trusts_it() -> None:
    text = frame().prompt(dr.Transformers("org/model", trust_remote_code=True), "{t}").to_json()
    assert "org/model" in dr.from_json(text, trust_remote_code=True).to_json()


def every_step(cls: type = Step) -> set[type]:
    return {s for c in cls.__subclasses__() for s in {c, *every_step(c)}}


def test_every_step_and_setting_of_dreamframe_can_be_read() -> None:
    from dreamframe.models.base import LLM
    from dreamframe.models.embedders.base import Embedder
    from dreamframe.models.task_models.base import TaskModel
    from dreamframe.prompts.base import Prompt
    from dreamframe.trainers.base import Trainer

    known = {record_class(name) for name in [*PLACES, *public_names()]}
    for base in (Step, LLM, Embedder, TaskModel, Prompt, Trainer):
        own = {recorded(c) for c in every_step(base) if c.__module__.startswith("dreamframe.") and not getattr(c, "__abstractmethods__", None)}
        assert {c.__name__ for c in own - known} <= {"ModelStep", "Pick", "Fake", "Scripted", "Failing"}


# Any text at all

KEYS = st.sampled_from(["$expr", "$record", "$dtype", "$step", "fields", "Column", "Series", "List"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=6,
)
SOURCES = [json.loads(PLANS[name]().to_json()) for name in ("verbs", "enum", "series", "labels", "few shot over a frame", "settings", "retrieve", "function")]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a JSON value has parts."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, held in inner for place in places(held, (*path, key)))]


@settings(max_examples=300, deadline=None)
@given(plan=st.sampled_from(SOURCES), data=st.data())
def test_a_plan_with_anything_in_it_is_read_or_refused(plan: dict[str, Any], data: st.DataObject) -> None:
    record = json.loads(json.dumps(plan))
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(places(record)[1:]))
        target = record
        for key in path:
            target = target[key]
        target[last] = copy.deepcopy(data.draw(JSON | st.sampled_from([*plan["steps"], *(part for step in plan["steps"] for part in step.values())])))
    try:
        said = dr.from_json(json.dumps(record), functions=FUNCTIONS).explain()  # type: ignore[union-attr]
    except dr.errors.DreamframeError as exc:
        said = str(exc)
    assert said, "a plan, or a reason"


def ordinary() -> Iterator[pl.Expr]:
    """What polars' own functions make of plain arguments, as far as they take them."""
    column = pl.col("t")
    given: list[tuple[Any, ...]] = [(), (1,), ("x",), (column,), (column, column), (1, 2), (["x"],), ("1d",), (pl.String,), (pl.element().sum(),)]
    spaces = [column, *(getattr(column, name) for name in ("str", "dt", "list", "arr", "struct", "cat", "bin", "name"))]
    without = ("map", "map_elements", "map_batches", "map_fields", "rolling_map", "pipe", "pipe_with_dtype", "inspect", "deserialize", "from_json")
    for space in spaces:
        for name in sorted(set(dir(space)) - set(without)):
            method = getattr(space, name, None) if not name.startswith("_") else None
            for args in given if callable(method) else ():
                with contextlib.suppress(Exception, pl.exceptions.PanicException):
                    made = method(*args)
                    json.loads(made.meta.serialize(format="json"))
                    if "name.map()" not in str(made):  # polars gives some methods a Python function itself
                        yield made


@pytest.mark.filterwarnings("ignore")
def test_all_that_polars_does_by_itself_can_be_written() -> None:
    """A polars that has more of it fails here, and its new nodes are looked at before a stranger may use them."""
    refused = {}
    for expr in ordinary():
        try:
            expressions.check(json.loads(expr.meta.serialize(format="json")))
        except PlanFormatError as exc:
            refused[str(expr)] = str(exc)
    assert refused == {}
