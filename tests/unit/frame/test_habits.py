"""Names and notations of other libraries are answered with what is written here, which runs; and nothing that looks at a frame is misled by that."""

from __future__ import annotations

import ast
import copy
import dataclasses
import pickle
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest

import dreamframe as dr
from dreamframe.frame import other_names
from dreamframe.frame.calls import CALLS
from dreamframe.frame.habits import elsewhere

TABLES: dict[str, Mapping[str, str]] = {"df": other_names.FRAME, "group_by": other_names.GROUPS, "model": other_names.MODEL, "dr": other_names.MODULE}
OUTSIDE = (  # of rows that need another library, the network or a training: their names are looked up, and no more
    *("write_excel", "write_database", "read_excel", "read_database", "read_pickle", "to_markdown", ".plot", ".hist", "scan_hub", "scan_hf_disk"),
    *("scan_excel", "scan_database", "scan_delta"),
    *("push_to_hub", ".fit", ".export", ".metrics", ".summary", "df.failures", "save_to_disk", "dr.Transformers", "embedder()", "dr.Session"),
)


def frame() -> dr.Frame:
    rows = {"key": [1, 2, 1], "a": [1, 2, 3], "b": ["x", "y", "z"], "text": ["tea", "rain", "wind"]}
    return dr.frame(rows)


def names() -> dict[str, Any]:
    df = frame()
    model = df.train(dr.SFT("base", steps=2), prompt="text", completion="b")
    llm = dr.testing.Scripted(lambda asked: "yes 1")
    return {"df": df, "other": frame(), "model": model, "llm": llm, "embedder": dr.testing.WordEmbedder(), "dr": dr, "pl": pl, "print": lambda *_: None}


ROWS = sorted({row for table in (*TABLES.values(), CALLS) for row in table.values()})


@pytest.mark.parametrize("row", ROWS)
def test_what_a_table_says_is_what_one_can_write(row: str, session: dr.Session) -> None:
    code, _, remark = row.partition("  # ")
    assert "#" not in code + remark
    for kind in ("csv", "parquet", "json", "ndjson", "text", "ipc"):
        if f"rows.{kind}" in code and "scan" in code:
            rows = frame().collect()
            rows.write_csv("rows.text") if kind == "text" else getattr(rows, f"write_{kind}")(f"rows.{kind}")
    if code.startswith("from "):
        exec(code, {})  # noqa: S102
    elif any(word in code for word in OUTSIDE):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names():
                assert hasattr(names()[node.value.id], node.attr), code
    else:
        made = eval(code, names())  # noqa: S307
        if isinstance(made, dr.Frame) and "llm" not in code and "model" not in code:
            made.collect()


@pytest.mark.parametrize("name", other_names.FRAME)
def test_a_name_that_frames_have_is_no_habit(name: str) -> None:
    if not hasattr(dr.Frame, name):  # what was a habit yesterday may be a verb today: then the verb answers
        with pytest.raises(AttributeError, match=rf"a frame has no '{name}'\. Write "):
            getattr(frame(), name)


@pytest.mark.parametrize(("what", "table"), [(lambda: frame().group_by("key"), "group_by"), (lambda: names()["model"], "model"), (lambda: dr, "dr")])
def test_names_of_groups_models_and_the_module_are_answered(what: Any, table: str) -> None:
    for name in TABLES[table]:
        with pytest.raises(AttributeError, match=f"has no {name!r}"):
            getattr(what(), name)


def test_a_column_is_told_before_a_habit() -> None:
    df = dr.frame({"size": [1], "text": ["a"]})
    with pytest.raises(AttributeError, match=r"the column is pl\.col\('text'\)"):
        df.text  # noqa: B018
    with pytest.raises(AttributeError, match=r"the column is pl\.col\('size'\).*Or, where no column is meant: df\.select\(pl\.len"):
        df.size  # noqa: B018


def test_names_of_polars_and_pandas_are_told_where_they_are() -> None:
    import pandas as pd

    assert elsewhere("corr") == " A polars frame has: df.collect().corr, once the plan has run."
    assert elsewhere("swaplevel") == " A pandas frame has: df.to_pandas().swaplevel, once the plan has run."
    only_pandas = [n for n in dir(pd.DataFrame) if not n.startswith("_") and not hasattr(dr.Frame, n)]
    for name in only_pandas:
        with pytest.raises(AttributeError, match=r"Write |A polars frame has|A pandas frame has"):
            getattr(frame(), name)


PROBES = (
    *("__array__", "__array_interface__", "__dataframe__", "__len_hint__", "_repr_png_", "_repr_mimebundle_", "_ipython_display_", "_ipython_key_completions_"),
    *("__deepcopy_me__", "__wrapped__", "__fspath__", "__index__", "__next__", "__call__", "__enter__", "__await__", "_repr_pretty_", "__arrow_c_array__"),
)


@pytest.mark.parametrize("value", [frame(), frame().group_by("key"), names()["model"], dr.OpenAI("m"), dr.SFT("base")], ids=lambda v: type(v).__name__)
def test_what_other_libraries_look_for_is_not_there(value: Any) -> None:
    assert [name for name in PROBES if hasattr(value, name)] == []
    assert getattr(value, "no_such_name", 7) == 7
    assert value.__doc__
    assert np.array([value, None], dtype=object)[0] is value
    assert value in [None, value]


def test_a_frame_is_no_collection_to_python() -> None:
    df = frame()
    wrongs = (lambda: len(df), lambda: list(df), lambda: bool(df), lambda: len(df["a"]), lambda: dict(df), lambda: [*df], lambda: df[0], lambda: sorted(df))
    for wrong in wrongs:
        with pytest.raises(TypeError, match="a frame is a plan"):
            wrong()
    assert ("a" in df, "z" in df, 1 in df) == (True, False, False)
    assert df is not None
    assert df in [1, df]
    assert {df: 1}[df] == 1
    with pytest.raises(TypeError):
        pl.DataFrame({"a": [1]}).with_columns(df)


def test_a_property_that_fails_says_its_own_error() -> None:
    class Broken(dr.Frame):
        @property
        def shape(self) -> Any:
            raise AttributeError("inner")

    with pytest.raises(AttributeError, match=r"^inner$"):
        Broken(frame().step).shape  # noqa: B018


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))], ids=["copy", "deepcopy", "pickle"])  # noqa: S301
def test_frames_groups_and_models_are_copied_as_what_they_are(copied: Any) -> None:
    df, model = frame().filter(pl.col("a") > 1), names()["model"]
    assert copied(df).step.key({}) == df.step.key({})
    assert copied(df.group_by("key")).len().step.key({}) == df.group_by("key").len().step.key({})
    assert copied(model).step.key({}) == model.step.key({})
    asked = df.prompt(model, "{text}")
    again = copied(asked)
    assert again.step.key({}) == asked.step.key({})
    assert again.step.llm.edges()[0].step is again.step.inputs[1]  # one training, not two
    assert copied(pl.DataFrame({"a": [1]}).dream).to_dicts() == [{"a": 1}]
    assert copied([df, df])[0] is not None


def test_a_plan_of_three_thousand_steps_is_copied_and_pickled() -> None:
    df = frame()
    for _ in range(3_000):
        df = df.head(2)
    again = pickle.loads(pickle.dumps(df))  # noqa: S301
    assert copy.deepcopy(df) is df
    assert again.step.key({}) == df.step.key({})
    assert again.collect().height == 2


def test_a_frame_may_stand_in_a_record() -> None:
    @dataclasses.dataclass(frozen=True)
    class Job:
        rows: dr.Frame
        llm: Any = None

    job = Job(frame(), dr.OpenAI("m"))
    assert dataclasses.replace(job, llm=None).rows is job.rows
    assert dataclasses.asdict(job)["rows"] is job.rows
    assert "dreamframe" in repr(job)


def test_groups_say_what_they_are() -> None:
    assert repr(frame().group_by("key")).startswith('group_by [col("key")] of\ndreamframe [key: Int64')
    assert isinstance(frame().group_by("key"), Iterable)  # iter() is answered, with what to write


TAKEN = {
    "typo": (lambda df: df["txt"], r"Nor has it a column 'txt': there are 'key', 'a', 'b', 'text'\. Did you mean 'text'"),
    "typo among several": (lambda df: df[["a", "txt"]], "Nor has it a column 'txt'"),
    "the last rows": (lambda df: df[-3:], r"df\.tail\(3\)"),
    "every second row": (lambda df: df[::2], r"df\.gather_every\(2\)"),
    "rows by number": (lambda df: df[[0, 2]], r"df\.gather\(\[0, 2\]\)"),
    "rows between": (lambda df: df[1:-1], r"df\.slice\(offset, length\)"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken_in_brackets_is_answered_with_what_to_write(name: str) -> None:
    take, said = TAKEN[name]
    with pytest.raises(TypeError, match=f"^a frame is a plan, and has no values to give.*{said}"):
        take(frame())


def test_no_name_of_our_own_workings_is_offered() -> None:
    for name in ("style", "first_bye", "packed", "relationl", "hoistd"):
        with pytest.raises(AttributeError) as caught:
            getattr(frame(), name)
        assert "mean 'step'" not in str(caught.value)
        assert "mean '_" not in str(caught.value)
    with pytest.raises(AttributeError) as caught:
        dr.lazyframe  # type: ignore[attr-defined]  # noqa: B018  a module of polars, and no type
    assert "pl.lazyframe" not in str(caught.value)


def test_a_remark_of_a_table_is_part_of_the_sentence() -> None:
    with pytest.raises(AttributeError) as caught:
        dr.frame({"apply": [1]}).apply  # noqa: B018
    assert "  # " not in str(caught.value)
