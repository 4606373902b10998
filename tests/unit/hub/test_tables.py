"""Tables of other libraries: labels by their names at every door, and what a pandas index says is kept."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import pandas as pd
import PIL.Image
import polars as pl
import pyarrow as pa
import pydantic
import pytest
from datasets import ClassLabel, Features, LargeList, List, Value

import dreamframe as dr
from dreamframe.errors import PlanError
from dreamframe.hub import datasets as hub

MOOD = ClassLabel(names=["neg", "pos"])
FEATURES = Features(
    {
        "label": MOOD,
        "odd": MOOD,
        "tags": List(MOOD),
        "pair": List(MOOD, length=2),
        "large": LargeList(MOOD),
        "deep": List(List(MOOD)),
        "struct": {"y": MOOD, "t": Value("string")},
        "spans": List({"y": MOOD, "at": Value("int8")}),
        "number": Value("int64"),
    }
)
ROWS: list[dict[str, Any]] = [
    {"label": 1, "odd": 0, "tags": [0, 1], "pair": [1, 0], "large": [1], "deep": [[1], []]}
    | {"struct": {"y": 1, "t": "a"}, "spans": [{"y": 0, "at": 3}], "number": 1},
    {"label": -1, "odd": None, "tags": [-1, None], "pair": None, "large": None, "deep": [None]}
    | {"struct": {"y": None, "t": None}, "spans": [], "number": -1},
]
NAMED: list[dict[str, Any]] = [
    {"label": "pos", "odd": "neg", "tags": ["neg", "pos"], "pair": ["pos", "neg"], "large": ["pos"], "deep": [["pos"], []]}
    | {"struct": {"y": "pos", "t": "a"}, "spans": [{"y": "neg", "at": 3}], "number": 1},
    {"label": None, "odd": None, "tags": [None, None], "pair": None, "large": None, "deep": [None]}
    | {"struct": {"y": None, "t": None}, "spans": [], "number": -1},
]


def data_set() -> datasets.Dataset:
    return datasets.Dataset.from_list(ROWS, features=FEATURES)


def on_disk(folder: Path, *, split: bool = False) -> dr.Frame:
    made = data_set()
    (datasets.DatasetDict({"train": made}) if split else made).save_to_disk(folder / "saved")
    return dr.scan_hf_disk(folder / "saved", split="train" if split else None)


def from_hub(monkeypatch: pytest.MonkeyPatch, *, streaming: bool) -> dr.Frame:
    """A Hub that has one data set."""
    monkeypatch.setattr(hub.HubSplit, "_record", lambda *_: {"revision": "c0ffee"})
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, streaming=False, **__: data_set().to_iterable_dataset() if streaming else data_set())
    return dr.scan_hub("me/moods", streaming=streaming)


DOORS: dict[str, Callable[[Path, pytest.MonkeyPatch], dr.Frame]] = {
    "frame": lambda *_: dr.frame(data_set()),
    "shuffled": lambda *_: dr.frame(data_set().select([1, 0]).select([1, 0])),
    "stream": lambda *_: dr.frame(data_set().to_iterable_dataset()),
    "disk": lambda at, _: on_disk(at),
    "split on disk": lambda at, _: on_disk(at, split=True),
    "hub": lambda _, patch: from_hub(patch, streaming=False),
    "hub, streamed": lambda _, patch: from_hub(patch, streaming=True),
}


@pytest.mark.parametrize("door", DOORS)
def test_labels_are_their_names_at_every_door(door: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with dr.Session(tmp_path / "session"):
        frame = DOORS[door](tmp_path, monkeypatch)
        assert frame.collect().to_dicts() == NAMED
        assert frame.step.schema["label"] == pl.String
        assert frame.step.schema["tags"] == pl.List(pl.String)


def test_doors_that_give_the_same_rows_have_one_key(tmp_path: Path):
    assert dr.frame(data_set()).step.key({}) == on_disk(tmp_path).step.key({})


@pytest.mark.parametrize(("column", "value"), [("y", [2]), ("tags", [[0, 2]])], ids=["plain", "nested"])
def test_a_label_without_a_name_is_refused_by_its_column(column: str, value: list[Any]):
    kind = MOOD if column == "y" else List(MOOD)
    made = datasets.Dataset.from_dict({column: value}).cast_column(column, Value("int64") if column == "y" else List(Value("int64")))
    made.info.features = made._info.features = Features({column: kind})
    with pytest.raises(PlanError, match=f"column '{column}' holds a label that has no name; the names are 'neg', 'pos'"):
        dr.frame(made)


def test_a_dict_of_splits_is_refused_with_a_way_to_one():
    for splits in (datasets.DatasetDict({"test": data_set()}), datasets.IterableDatasetDict({"test": data_set().to_iterable_dataset()})):
        with pytest.raises(PlanError, match=r"several tables; pass one split, e.g. data\['test'\]"):
            dr.frame(splits)


@pytest.mark.parametrize("part", [slice(1, 3), slice(0, 2), slice(2, 3)], ids=str)
def test_a_part_of_an_arrow_table_has_its_own_rows(part: slice):
    vectors = pa.array([[1, 2], None, [5, 6]], pa.list_(pa.int64(), 2))
    for table in (pa.table({"v": vectors}), pa.record_batch({"v": vectors}), pa.table({"v": pa.chunked_array([vectors, vectors])})):
        one = table.slice(part.start, part.stop - part.start)
        assert dr.frame(one).collect()["v"].to_list() == [[1, 2], None, [5, 6]][part]


def pandas(**index: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": [1, 2]}, index=pd.Index(**index))


INDEXES: dict[str, tuple[Callable[[], Any], dict[str, list[Any]]]] = {
    "default": (lambda: pd.DataFrame({"a": [1, 2]}), {"a": [1, 2]}),
    "left by a filter": (lambda: pd.DataFrame({"a": [1, 2, 3]}).query("a != 2"), {"a": [1, 3]}),
    "left by a sort": (lambda: pd.DataFrame({"a": [1, 2]}).sort_values("a", ascending=False), {"a": [2, 1]}),
    "named": (lambda: pandas(data=["x", "y"], name="k"), {"k": ["x", "y"], "a": [1, 2]}),
    "named numbers": (lambda: pandas(data=[7, 8], name="id"), {"id": [7, 8], "a": [1, 2]}),
    "named range": (lambda: pd.DataFrame({"a": [1, 2]}).rename_axis("row"), {"row": [0, 1], "a": [1, 2]}),
    "texts": (lambda: pandas(data=["x", "y"]), {"index": ["x", "y"], "a": [1, 2]}),
    "empty": (lambda: pd.DataFrame({"a": []}, index=pd.Index([], dtype=object)), {"a": []}),
    "group_by": (lambda: pd.DataFrame({"k": ["x", "y", "x"], "a": [1, 2, 3]}).groupby("k").sum(), {"k": ["x", "y"], "a": [4, 2]}),
    "group_by of two": (
        lambda: pd.DataFrame({"k": ["x", "x"], "l": [1, 2], "a": [1, 2]}).groupby(["k", "l"]).sum(),
        {"k": ["x", "x"], "l": [1, 2], "a": [1, 2]},
    ),
    "levels without names": (
        lambda: pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("x", 1), ("x", 2)])),
        {"level_0": ["x", "x"], "level_1": [1, 2], "a": [1, 2]},
    ),
    "value counts": (lambda: pd.Series(["x", "x", "y"], name="k").value_counts(), {"k": ["x", "y"], "count": [2, 1]}),
    "series": (lambda: pd.Series([1, 2], name="a"), {"a": [1, 2]}),
    "series without a name": (lambda: pd.Series([1, 2]), {"value": [1, 2]}),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_a_pandas_index_that_says_something_is_kept(kind: str):
    made, wanted = INDEXES[kind]
    assert dr.frame(made()).collect().to_dict(as_series=False) == wanted


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "mixed values": (lambda: pd.DataFrame({"fine": [1, 2], "odd": [1, "x"]}), "column 'odd'"),
    "mixed index": (lambda: pandas(data=[1, "x"], name="k"), "column 'k'"),
    "an index called like a column": (lambda: pandas(data=["x", "y"], name="a"), "the name of a column"),
    "groups": (lambda: pd.DataFrame({"k": ["x"], "a": [1]}).groupby("k"), "cannot make rows of a pandas.DataFrameGroupBy"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_pandas_table_that_has_no_rows_of_one_kind_is_refused_by_its_column(kind: str):
    made, why = WRONG[kind]
    with pytest.raises(PlanError, match=why):
        dr.frame(made())


def test_frames_of_polars_are_made_before_they_are_put_together():
    with pytest.raises(PlanError, match=r"polars.DataFrame is among the frames; make it a frame first with dr.frame"):
        dr.concat([dr.frame({"a": [1]}), pl.DataFrame({"a": [2]})])  # type: ignore[list-item]


def test_a_data_set_with_a_transform_is_refused_since_its_rows_are_not_those_that_are_held():
    held = datasets.Dataset.from_dict({"t": ["a"]})
    seen = held.with_transform(lambda rows: {"t": [t.upper() for t in rows["t"]]})
    with pytest.raises(PlanError, match="has a transform"):
        dr.frame(seen)
    assert dr.frame(seen.with_format(None)).to_dicts() == [{"t": "a"}]


@dataclasses.dataclass
class Point:
    x: int
    y: str


class Named(NamedTuple):
    x: int
    y: str


class Model(pydantic.BaseModel):
    x: int
    y: str


XY = pl.DataFrame({"x": [1, 2], "y": ["a", "b"]})
RECORDS: dict[str, Callable[[], Any]] = {
    "dataclasses": lambda: [Point(1, "a"), Point(2, "b")],
    "named tuples": lambda: (Named(i, t) for i, t in ((1, "a"), (2, "b"))),
    "pydantic": lambda: [Model(x=1, y="a"), Model(x=2, y="b")],
    "structured array": lambda: np.array([(1, "a"), (2, "b")], dtype=[("x", "i8"), ("y", "U1")]),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_records_are_rows(kind: str):
    assert dr.frame(RECORDS[kind]()).collect().equals(XY)


def test_rows_without_names_are_given_them_by_a_schema():
    assert dr.frame([(1, "a"), (2, "b")], schema=["x", "y"]).collect().equals(XY)
    assert dr.frame(np.array([[1, 2], [3, 4]]), schema=["x", "y"]).to_dicts() == [{"x": 1, "y": 2}, {"x": 3, "y": 4}]
    assert dr.frame(pl.Series("x", [1, 2])).to_dicts() == dr.frame(pd.Series([1, 2], name="x")).to_dicts()


NO_TABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "mixed column": (lambda: {"ok": [1, 2], "m": ["x", 3]}, "frame: column 'm': .*Int64: 3"),
    "unequal columns": (lambda: {"ok": [1, 2], "m": ["x"]}, "column 'm' .1. does not match height of column 'ok'"),
    "tuples": (lambda: [(1, 2)], r"a builtins.list that holds a tuple.*schema=\["),
    "texts": (lambda: ["a", "b"], "a builtins.list that holds a str"),
    "a class": (lambda: [Point], "that holds a type"),
    "array": (lambda: np.array([[1, 2]]), "numpy.ndarray have no names"),
    "cube": (lambda: np.zeros((1, 1, 1)), "numpy.ndarray have no names"),
    "function": (lambda: iter, "cannot make rows of a"),
}


@pytest.mark.parametrize("kind", NO_TABLE)
def test_what_is_no_table_is_refused_by_what_it_is(kind: str):
    make, said = NO_TABLE[kind]
    with pytest.raises(PlanError, match=said):
        dr.frame(make())


def picture(kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    PIL.Image.new("RGB", (2, 2)).save(out, kind)
    return out.getvalue()


def test_images_go_through_and_come_back_as_images():
    held = datasets.Dataset.from_dict(
        {"i": [{"bytes": picture(), "path": None}, {"bytes": picture("JPEG"), "path": "x.jpg"}, None]}, features=Features({"i": datasets.Image()})
    )
    frame = dr.frame(held)
    assert frame.step.key({}) == dr.frame(held.to_iterable_dataset()).step.key({}), "a stream has the same bytes"
    back = frame.to_hf_dataset()
    assert back.features == held.features
    assert back[0]["i"].size == (2, 2)
    assert back[2]["i"] is None


@pytest.mark.parametrize("held", [b"RIFF1234WAVE", b"OggS", None, b""])
def test_sounds_and_other_bytes_are_not_called_images(held: bytes | None):
    frame = dr.frame({"i": [{"bytes": held, "path": "x"}]}, schema={"i": pl.Struct({"bytes": pl.Binary, "path": pl.String})})
    assert not isinstance(frame.to_hf_dataset().features["i"], datasets.Image)


def test_a_stream_keeps_its_types_and_labels():
    held = datasets.Dataset.from_list(ROWS, features=FEATURES)
    assert dr.frame(held.to_iterable_dataset()).step.key({}) == dr.frame(held).step.key({})
    empty = datasets.IterableDataset.from_generator(lambda: iter(()), features=Features({"a": Value("int8")}))
    assert dr.frame(empty).schema == pl.Schema({"a": pl.Int8})

    def rows() -> Iterator[dict[str, int]]:
        yield from ({"a": i} for i in range(3))

    assert dr.frame(datasets.IterableDataset.from_generator(rows)).to_dicts() == [{"a": 0}, {"a": 1}, {"a": 2}]


@pytest.mark.parametrize("first", ["dreamframe", "pandas"])
def test_pandas_frames_have_the_accessor_whichever_is_imported_first(first: str):
    code = f"import sys, {first}\nassert {first!r} == 'pandas' or 'pandas' not in sys.modules\nimport importlib.util; importlib.util.find_spec('pandas')\n"
    code += "import dreamframe, pandas as pd\nprint(pd.DataFrame({'a': [1]}).dream.to_dicts(), pd.Series([2], name='b').dream.to_dicts())\n"
    code += "print(sum(type(f).__name__ == 'WithPandas' for f in sys.meta_path))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[{'a': 1}] [{'b': 2}]", "0"]
