"""Functions that read files: their rows are those of the files as they are now, and are kept only for as long as somebody says which files count."""

from __future__ import annotations

import decimal
import importlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import FingerprintError
from dreamframe.frame.frame import Frame
from dreamframe.identity.fingerprint import reads_files
from dreamframe.plan.step import RowStep, step

ONE = dr.frame({"x": ["a"]})
TEXT = {"y": pl.String}
FILE = Path("d.txt")  # in the test's own folder, where it runs


@step
class Reads(RowStep):
    """A step of one's own."""

    is_expensive: ClassVar[bool] = True

    def output_schema(self) -> pl.Schema:
        return pl.Schema({**self.inputs[0].schema, "y": pl.String()})

    async def run(self, rows: pl.DataFrame, ctx: Any) -> pl.DataFrame:
        return rows.with_columns(y=pl.lit(FILE.read_text()))


class Opens:
    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        with open("d.txt") as file:
            return {"y": file.read() + row["x"]}


def helper() -> str:
    return FILE.read_text()


def parsed(text: str) -> str:
    return text + helper()


def batch(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(y=pl.lit(str(pl.read_csv("d.txt", has_header=False).item())))


FORMS: dict[str, Callable[[], Frame]] = {
    "open": lambda: ONE.map(Opens(), schema=TEXT),
    "a path's text": lambda: ONE.map(lambda _: {"y": FILE.read_text()}, schema=TEXT),
    "a helper": lambda: ONE.map(lambda _: {"y": helper()}, schema=TEXT),
    "polars": lambda: ONE.map_batches(batch, schema={"x": pl.String, **TEXT}),
    "a folder": lambda: ONE.map(lambda _: {"y": str([n for n in os.listdir() if n.startswith("d-")])}, schema=TEXT),
    "whether it is there": lambda: ONE.map(lambda _: {"y": str(os.path.exists("d-2"))}, schema=TEXT),
    "where it runs": lambda: ONE.map(lambda _: {"y": str([p.name for p in Path.cwd().glob("d-*")])}, schema=TEXT),
    "parse=": lambda: ONE.prompt(dr.testing.Echo(), "{x}", parse=parsed, into="y"),
    "a polars function": lambda: ONE.map(lambda row: {"z": row["x"]}, schema={"z": pl.String}).with_columns(
        y=pl.col("x").map_elements(lambda _: helper(), return_dtype=pl.String)
    ),
    "below a prompt": lambda: ONE.map(lambda _: {"z": helper()}, schema={"z": pl.String}).prompt(dr.testing.Echo(), "{z}", into="y"),
    "a step of one's own": lambda: Frame(Reads(inputs=(ONE.step,))),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    written(1)
    return tmp_path / "session"


def written(n: int) -> None:
    FILE.write_text(str(n))
    Path(f"d-{n}").touch()


def rows(frame: Frame, folder: Path) -> list[dict[str, Any]]:
    with dr.Session(folder):
        return frame.to_dicts()


@pytest.mark.parametrize("form", FORMS)
def test_an_edited_file_gives_other_rows(form: str, folder: Path):
    before = rows(FORMS[form](), folder)
    assert rows(FORMS[form](), folder) == before
    written(2)
    after = rows(FORMS[form](), folder)
    assert after != before
    with dr.Session(None):
        assert FORMS[form]().to_dicts() == after


CALLS: list[str] = []


def counted(row: dict[str, Any]) -> dict[str, Any]:
    CALLS.append(row["x"])
    return {"y": FILE.read_text()}


@pytest.mark.parametrize("depends", [[FILE], [{"a": (FILE,)}], {"a": FILE}, FILE, [Path()]], ids=["a file", "within", "a dict", "itself", "a folder"])
def test_a_versioned_function_is_kept_until_a_file_changes_that_it_depends_on(depends: Any, folder: Path, tmp_path: Path):
    CALLS.clear()
    outside = tmp_path.with_name(f"{tmp_path.name}-session")  # not in the folder that counts
    plan = ONE.map(dr.versioned(counted, version=1, depends=depends), schema=TEXT)
    assert [rows(plan, outside) for _ in range(2)] == [[{"x": "a", "y": "1"}]] * 2
    written(2)
    assert [rows(plan, outside) for _ in range(2)] == [[{"x": "a", "y": "2"}]] * 2
    assert len(CALLS) == 2
    FILE.unlink()
    if depends == [Path()]:
        return
    with pytest.raises(FingerprintError, match=r"d\.txt in depends= cannot be read"):
        rows(plan, outside)


def test_what_reads_files_is_seen_by_its_name_and_what_does_not_is_not():
    import pandas

    def in_the_body(row: dict[str, Any]) -> dict[str, Any]:
        import pandas as pd

        return {"y": pd.read_fwf(row["x"])}

    reading = [in_the_body, lambda row: pandas.read_fwf(row["x"]), lambda row: pl.read_csv(row["x"]), lambda row: subprocess.run(row["x"], check=True)]
    plain = [lambda row: json.loads(row["x"]), lambda row: pl.DataFrame(row).select("x"), lambda row: os.path.basename(row["x"]), third]
    plain += [dr.versioned(counted, version=1, depends=[FILE]), lambda row: FILE.suffix + row["x"]]
    assert [reads_files(f) for f in reading] == [True] * 4
    assert [reads_files(f) for f in plain] == [False] * 6


def test_an_answer_is_not_asked_again_because_a_function_reads_a_file(folder: Path):
    llm = dr.testing.Echo()
    plan = ONE.map(lambda _: {"z": helper()}, schema={"z": pl.String}).prompt(llm, "{z}", into="y", parse=parsed)
    assert rows(plan, folder) == rows(plan, folder)
    assert llm.calls == 1


def test_a_reward_that_reads_a_file_is_refused_with_the_way_out(folder: Path):
    def reward(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
        return [float(helper())] * len(completions)

    model = dr.frame({"p": ["a"]}).train(dr.GRPO("base", rewards=[reward]), prompt="p")
    with dr.Session(folder), pytest.raises(FingerprintError, match=r"reads files .* dr\.versioned\(function, version=1, depends="):
        model.fit()


def third(row: dict[str, Any]) -> dict[str, Any]:
    return {"y": str(decimal.Decimal(1) / 3) + row["x"]}


def test_decimals_are_rounded_as_the_caller_said_and_that_is_part_of_the_key(folder: Path):
    plain = rows(ONE.map(third, schema=TEXT), folder)
    with decimal.localcontext(prec=5):
        assert rows(ONE.map(third, schema=TEXT), folder) == [{"x": "a", "y": "0.33333a"}]
        assert rows(ONE.map(third, schema=TEXT, workers=2), None) == [{"x": "a", "y": "0.33333a"}]
    assert rows(ONE.map(third, schema=TEXT), folder) == plain


def test_a_helper_that_is_loaded_again_or_replaced_gives_other_rows(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    module = tmp_path / "helper_of_rows.py"
    module.write_text("def h(x): return x + '1'\n")
    helper_of_rows = importlib.import_module("helper_of_rows")
    plan = ONE.map(lambda row: {"y": helper_of_rows.h(row["x"])}, schema=TEXT)
    found = [rows(plan, folder)[0]["y"]]
    module.write_text("def h(x): return x + '222'\n")
    importlib.reload(helper_of_rows)
    found.append(rows(plan, folder)[0]["y"])
    helper_of_rows.h = lambda x: x + "3"
    found.append(rows(plan, folder)[0]["y"])
    assert found == ["a1", "a222", "a3"]
