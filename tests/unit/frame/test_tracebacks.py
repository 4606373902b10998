"""What users see of an error: their own line and the message, in scripts, in IPython, out of threads and the event loop; and that faults keep all lines."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.frame.tracebacks import short

ROWS = dr.frame({"text": ["tea"], "n": [1]})
PACKAGE = str(Path(dr.__file__).parent)
ECHO, FAILING = dr.testing.Echo(), dr.testing.Failing()


@pytest.fixture(autouse=True)
def as_users_see_it(monkeypatch: pytest.MonkeyPatch, session: dr.Session) -> None:
    monkeypatch.delenv("DREAMFRAME_TRACEBACK")


def refuse(text: str) -> str:
    raise LookupError(f"no {text}")


def typo(df: dr.Frame) -> dr.Frame:
    return df.prompt(ECHO, "{txt}")


def iterated() -> None:
    for _ in ROWS.prompt(FAILING, "{text}").collect_batches():
        pass


def entered() -> None:
    Path("file").touch()
    with dr.Session("file"):
        pass


WRONG: dict[str, tuple[type[BaseException], Callable[[], Any]]] = {
    "a misspelt column": (dr.errors.ColumnNotFoundError, lambda: ROWS.prompt(ECHO, "{txt}")),
    "in an expression": (dr.errors.ColumnNotFoundError, lambda: ROWS.filter(dr.prompt(ECHO, "{txt}", schema=bool))),
    "a function of the module": (dr.errors.PlanError, lambda: dr.scan_csv("nowhere.csv")),
    "a recipe": (dr.errors.SettingError, lambda: dr.recipes.backtranslate(ROWS, ECHO, threshold=9)),
    "groups": (dr.errors.ColumnNotFoundError, lambda: ROWS.group_by("n").reduce_by(ECHO, "{txt}")),
    "settings of a model": (dr.errors.SettingError, lambda: dr.OpenAI("m", concurrency=0)),
    "settings of a trainer": (dr.errors.SettingError, lambda: dr.SFT("m", steps=-1)),
    "a trainer's columns": (dr.errors.PlanError, lambda: ROWS.train(dr.SFT("m"), prompt="txt", completion="text")),
    "a session": (dr.errors.SettingError, lambda: dr.Session(None, batch_rows=0)),
    "a session that is entered": (dr.errors.DreamframeError, entered),
    "a session that is none": (dr.errors.SettingError, lambda: dr.Session.existing("nowhere")),
    "rows that failed": (dr.errors.RowsFailedError, lambda: ROWS.prompt(FAILING, "{text}").collect()),
    "an export": (dr.errors.RowsFailedError, lambda: ROWS.prompt(FAILING, "{text}").write_csv("out.csv")),
    "batches": (dr.errors.RowsFailedError, iterated),
    "awaited": (dr.errors.RowsFailedError, lambda: asyncio.run(ROWS.prompt(FAILING, "{text}").collect_async())),
    "several plans": (dr.errors.RowsFailedError, lambda: dr.collect_all([ROWS.prompt(FAILING, "{text}")])),
    "no key": (dr.errors.AuthenticationError, lambda: ROWS.prompt("openai/gpt-4o-mini", "{text}").collect()),
    "polars' own": (pl.exceptions.InvalidOperationError, lambda: ROWS.with_columns(pl.col("text").cast(pl.Int64)).collect()),
    "a model that is not there": (dr.errors.DreamframeError, lambda: ROWS.prompt(dr.LlamaCpp("nowhere.gguf"), "{text}").collect()),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_the_traceback_ends_at_the_users_own_line(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    kind, wrong = WRONG[name]
    with pytest.raises(kind) as caught:
        wrong()
    lines = [f for f in traceback.extract_tb(caught.value.__traceback__) if "asyncio" not in f.filename]  # those of asyncio.run are the user's doing
    assert {f.filename for f in lines} == {__file__}
    source, first = inspect.getsourcelines(wrong)
    assert first <= (lines[-1].lineno or 0) < first + len(source)
    causes = [caught.value.__cause__, caught.value.__context__]
    assert not [f for c in causes if c is not None for f in traceback.extract_tb(c.__traceback__) if f.filename.startswith(PACKAGE)]


def without_marks(said: str) -> list[str]:
    """The lines of a traceback; Python 3.13 marks which part of a line was at work in another one."""
    return [line for line in said.splitlines() if line.strip(" ~^")]


def test_a_script_says_it_in_a_few_lines(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text('import dreamframe as dr\n\nrows = dr.frame({"text": ["tea"]})\nrows.prompt(dr.testing.Echo(), "{txt}")\n')
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert without_marks(done.stderr) == [
        "Traceback (most recent call last):",
        f'  File "{script}", line 4, in <module>',
        '    rows.prompt(dr.testing.Echo(), "{txt}")',
        "dreamframe.errors.ColumnNotFoundError: prompt: no column 'txt'; the frame has 'text'. Did you mean 'text'?",
    ]


def test_functions_of_the_users_stay_in_it():
    with pytest.raises(dr.errors.ColumnNotFoundError) as caught:
        ROWS.pipe(typo)
    assert [f.name for f in traceback.extract_tb(caught.value.__traceback__)] == ["test_functions_of_the_users_stay_in_it", "typo"]


def test_a_cause_keeps_the_lines_of_the_user():
    row = ROWS.with_columns(t=pl.col("text").str.to_uppercase())
    with pytest.raises(dr.errors.RowsFailedError, match="LookupError: no tea"):
        row.prompt(ECHO, "{text}", parse=refuse).collect()
    with pytest.raises(dr.errors.DreamframeError) as caught:
        short(_raise_from_a_users_error)()
    assert [f.name for f in traceback.extract_tb(caught.value.__cause__.__traceback__)] == ["_raise_from_a_users_error", "refuse"]


def _raise_from_a_users_error() -> None:
    try:
        refuse("tea")
    except LookupError as exc:
        raise dr.errors.ParseError("not an answer") from exc


def test_an_error_that_is_nobodys_keeps_all_lines():
    """A fault of ours must be found, and one of the user's own functions is theirs."""
    with pytest.raises(RuntimeError) as caught:
        ROWS.pipe(lambda df: df.pipe(lambda _: asyncio.get_running_loop()))
    assert len(traceback.extract_tb(caught.value.__traceback__)) > 3


def test_a_switch_shows_all_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DREAMFRAME_TRACEBACK", "full")
    with pytest.raises(dr.errors.ColumnNotFoundError) as caught:
        ROWS.prompt(ECHO, "{txt}")
    assert traceback.extract_tb(caught.value.__traceback__)[-1].filename.endswith("templates.py")


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_stays_what_it_is_and_says_what_is_kept(times: int, tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, time, dreamframe as dr\n"
        "def slow(asked):\n"
        f"    if asked < '{times}':\n        os.kill(os.getpid(), signal.SIGINT)\n        time.sleep(0.3)\n    return asked\n"
        "rows = dr.frame({'t': ['0', '1', '2']}).prompt(dr.testing.Scripted(slow), '{t}')\n"
        "rows.collect()\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, cwd=tmp_path)
    said = without_marks(done.stderr)
    assert said[0] == "Traceback (most recent call last):", done.stderr
    assert said[2:4] == ["    rows.collect()", "KeyboardInterrupt"]
    assert said[4].startswith("dreamframe: ")
    assert len(said) == 5, done.stderr


def test_verbs_look_as_they_were_written():
    assert list(inspect.signature(dr.Frame.prompt).parameters)[:3] == ["self", "llm", "prompt"]
    assert inspect.getsource(dr.Frame.head).lstrip().startswith("def head(")
    assert dr.Frame.head.__doc__.startswith("Keep the first n rows.")
    assert inspect.iscoroutinefunction(dr.Frame.collect_async)
    assert next(iter(inspect.signature(dr.OpenAI).parameters)) == "model"
