"""JSON of a stranger's folder, under right checksums: whatever stands in it is left out with a warning or ends in one of our errors, nowhere in a TypeError."""

from __future__ import annotations

import copy
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.errors import DreamframeError
from dreamframe.plan.compare import differences
from dreamframe.store.files import Files
from dreamframe.store.layout import SessionWarning, sealed
from dreamframe.store.models import digest
from dreamframe.testing import Echo
from dreamframe.trainers.job import write_log
from tests.storing import step_key

ROWS = dr.frame({"t": ["tea", "jam"], "u": ["a", "b"]})
FRAME = ROWS.prompt(Echo(), "{t}", into="said").prompt(Echo(), "{said}", into="again")
OTHER = ROWS.prompt(Echo(), "{t}!", into="said")
MODEL = ROWS.train(dr.SFT("base", steps=2), prompt="t", completion="u")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session with two outputs, a plan, kept rows, a model and its run."""
    folder = tmp_path_factory.mktemp("whole") / "s"
    with dr.Session(folder) as session:
        FRAME.collect()
        models = session.stores.models
        out = models.workdir(step_key(2), "SFT") / "out"
        out.mkdir()
        (out / "config.json").write_text("{}")
        write_log([{"step": 1, "loss": 2.0}, {"step": 2, "loss": float("inf")}, {"step": 3, "loss": 1.0}], out / "metrics.arrow")
        models.commit(step_key(2), "SFT", out, {"rows": 2, "metrics": {"accuracy": 0.5}, "notes": ["two rows"], "loss": 1.0, "train_s": 2.0})
        session.stores.log.write([{"event": "model", "key": MODEL.step.key({}), "model": step_key(2)}, {"event": "run", "calls": 0}])
    return folder


def records(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.json*") if p.suffix in (".json", ".jsonl") and p.name != "config.json")


def uses(folder: Path, other: Path) -> Iterator[Callable[[], object]]:
    with dr.Session(folder, offline=True) as session, dr.Session(other, offline=True) as beside:
        yield session.as_dict
        yield lambda: session.report(folder.with_suffix(".html"))
        yield lambda: [session.plan(plan.name) for plan in session.plans()]
        yield lambda: (session.usage(), session.summary())
        yield lambda: repr(session.diff(beside))
        yield lambda: repr(beside.diff(session))
        yield lambda: session.why_miss(OTHER)
        yield session.verify
        yield lambda: session.gc(dry_run=True)
        yield lambda: session.gc(keep=[FRAME, MODEL], dry_run=True)
        yield lambda: session.gc(keep=[OTHER], dry_run=True)
    with dr.Session(folder, offline=True):
        yield lambda: FRAME.card("me/rows")
        yield lambda: MODEL.card("me/model")
        yield FRAME.collect


def use(folder: Path, other: Path) -> None:
    todo = uses(folder, other)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while True:
            try:
                action = next(todo)
            except (StopIteration, DreamframeError):
                return
            try:
                action()
            except DreamframeError:
                continue


def test_what_is_whole_is_shown(whole: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for action in uses(whole, whole):
            action()
        with dr.Session(whole):
            assert "two rows" in MODEL.card()
            assert "0.5" in MODEL.card()
            assert "loss" in MODEL.card()


ODD: list[Any] = [None, True, -1, 2**63, 10**400, 1e400, float("nan"), -0.5, "", "x" * 300, "\ud800", "../..", [], {}, [[]], {"a": {"b": []}}, ["x"], [None]]
ODD += [{"loss": "x"}, {"accuracy": 10**400}]
VALUES = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["key", "cost", "kept", "event", "x"]), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a JSON value something can be replaced."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, held in inner:
        yield from places(held, (*at, name))


def forged(value: Any, at: tuple[Any, ...], new: Any, *, drop: bool) -> Any:
    if not at:
        return new
    made = copy.deepcopy(value)
    inside = made
    for name in at[:-1]:
        inside = inside[name]
    if drop:
        del inside[at[-1]]
    else:
        inside[at[-1]] = new
    return made


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_forged_json_ends_in_no_error_but_ours(whole: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("forged") / "s"
    shutil.copytree(whole, folder)
    path = folder / data.draw(st.sampled_from([str(p.relative_to(whole)) for p in records(whole)]))
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    n = data.draw(st.integers(0, len(lines) - 1))
    record = json.loads(lines[n])
    record.pop("checksum", None)
    at = data.draw(st.sampled_from(list(places(record))))
    made = forged(record, at, data.draw(VALUES), drop=bool(at) and data.draw(st.booleans()))
    if path.suffix == ".jsonl":
        lines[n] = json.dumps(made)
        path.write_text("\n".join(lines) + "\n")
    else:
        path.write_bytes(sealed(made) if isinstance(made, dict) else json.dumps(made).encode())
    use(folder, whole)
    shutil.rmtree(folder.parent)


FILES: dict[str, bytes] = {
    "deep brackets": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "as deep as JSON is read": b'{"key": ' + b"[" * 900 + b"]" * 900 + b"}",
    "a long number": b'{"rows": ' + b"1" * 5000 + b"}",
    "not UTF-8": b'{"key": "\xff"}',
    "UTF-16": '{"key": "x"}'.encode("utf-16"),
    "nothing": b"",
    "zeros": bytes(4096),
    "not a number": b'{"rows": NaN, "cost": Infinity}',
}


@pytest.mark.parametrize("what", FILES)
def test_a_record_that_is_not_what_json_should_be_ends_in_no_error_but_ours(what: str, whole: Path, tmp_path: Path) -> None:
    for i, path in enumerate(records(whole)):
        folder = tmp_path / str(i)
        shutil.copytree(whole, folder)
        (folder / path.relative_to(whole)).write_bytes(FILES[what])
        use(folder, whole)


@pytest.mark.parametrize("kind", ["a link", "a pipe", "a folder", "nothing"])
def test_a_record_that_is_not_a_file_ends_in_no_error_but_ours(kind: str, whole: Path, tmp_path: Path) -> None:
    for i, path in enumerate(records(whole)):
        folder = tmp_path / str(i)
        shutil.copytree(whole, folder)
        at = folder / path.relative_to(whole)
        at.unlink()
        {"a link": lambda p: p.symlink_to("/etc/hostname"), "a pipe": os.mkfifo, "a folder": Path.mkdir, "nothing": str}[kind](at)
        use(folder, whole)


def test_a_forged_line_of_a_run_is_left_out_and_said(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    shutil.copytree(whole, folder)
    (log,) = [p for p in (folder / "runs").iterdir() if '"step"' in p.read_text()]
    log.write_text(log.read_text().replace('"asked": 2', '"asked": "2"', 1))
    with dr.Session(folder, offline=True) as session, pytest.warns(SessionWarning, match="'asked'") as said:
        card = FRAME.card()
    assert "tea" in card
    assert len({str(w.message) for w in said}) == 1
    assert [p.path for p in session.verify()] == [f"runs/{log.name}"]


def test_the_log_of_a_training_that_is_no_table_is_left_out_of_the_card(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    shutil.copytree(whole, folder)
    (model,) = (folder / "models").iterdir()
    pl.DataFrame({"step": [1, 2], "loss": ["x" * 1000] * 2}).write_ipc(model / "metrics.arrow", compression="zstd")
    record = json.loads((model / "training.json").read_text())
    record["files"]["metrics.arrow"] = digest(Files(folder), model / "metrics.arrow")
    (model / "training.json").write_bytes(sealed(record))
    with dr.Session(folder, offline=True), pytest.warns(UserWarning, match="the card is made without it"):
        assert "two rows" in MODEL.card()


def test_a_plan_of_ten_thousand_steps_is_compared() -> None:
    def chain(last: str) -> list[dict[str, Any]]:
        nodes = [{"key": f"{i}", "step": "Map", "describe": f"MAP {i}", "parts": {"f": str(i)}, "inputs": [i - 1] if i else []} for i in range(10_000)]
        return [{**n, "key": n["key"] + last} for n in nodes]

    assert differences(chain("a"), chain("b")) == []
