"""Typed records of what a session kept: they say what the run counted, and they are JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import dreamframe as dr
from dreamframe.plan.hidden import HINT
from dreamframe.session import PlanRecord, Problem, Removed, RunRecord, StepRecord, StepRun
from dreamframe.session.records import plan_record, step_record
from dreamframe.testing import Echo, Failing

ROWS = {"t": ["tea", "rain", None]}


def ran(folder: Path | None) -> dr.Session:
    with dr.Session(folder, prices={"echo": (1.0, 1.0)}) as session:
        dr.frame(ROWS).prompt(Echo(), "Say {t}", into="said").collect()
    return session


def test_a_stored_output_says_what_it_is_and_took(tmp_path: Path) -> None:
    (step,) = ran(tmp_path).steps()
    assert (step.label, step.step, step.rows, step.calls) == ("said", "PromptStep", 3, 2)
    assert step.columns == {"t": "String", "said": "String"}
    assert step.describe == "PROMPT said ← echo 'Say {t}'"
    assert (tmp_path / "steps" / step.name / "data.arrow").stat().st_size == step.bytes
    assert (len(step.key), len(step.parents), step.made_at[-1]) == (32, 1, "Z")
    assert [s.skipped for s in step.ran] == [1]
    assert [node["step"] for node in step.plan] == ["Table", "PromptStep"]
    assert step.cost == pytest.approx(sum(s.tokens_in + s.tokens_out for s in step.ran) / 1e6)
    assert step.seconds is not None


def test_runs_are_those_of_all_programs_oldest_first(tmp_path: Path) -> None:
    ran(tmp_path)
    with dr.Session(tmp_path) as session:
        dr.frame(ROWS).prompt(Failing(), "Say {t}", into="failed", on_error="null").collect()
        first, second = sorted(session.runs(), key=lambda r: -r.calls)
    assert (first.calls, first.failed, [s.label for s in first.steps]) == (2, 0, ["said"])
    assert (second.failed, second.failures[0]["error"], second.steps[0].errors) == (2, "BadRequestError", {"BadRequestError": 2})
    assert {f"{r.name}" for r in (first, second)} == {p.name for p in (tmp_path / "runs").iterdir()}
    assert first.day[:2] == "20"


def test_runs_in_memory_are_those_of_the_object() -> None:
    session = ran(None)
    (run,) = session.runs()
    assert (run.calls, run.steps[0].rows_in, run.name) == (2, 3, "run 0")
    assert session.steps() == session.plans() == []


def test_a_price_that_is_not_known_is_none(tmp_path: Path) -> None:
    ran(tmp_path)
    for log in (tmp_path / "runs").iterdir():
        log.write_text(log.read_text().replace('"cost": ', '"cost": null, "x": '))
    assert [r.cost for r in dr.Session(tmp_path).runs()] == [None]


def test_all_of_it_is_json_and_nothing_else(tmp_path: Path) -> None:
    told = ran(tmp_path).as_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["runs"][0]["steps"][0]["tokens_in"] == told["steps"][0]["ran"][0]["tokens_in"] > 0
    assert told["plans"][0]["columns"] == ["t", "said"]
    for record, kind in [("steps", StepRecord), ("plans", PlanRecord), ("runs", RunRecord)]:
        assert list(told[record][0]) == [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]


def test_problems_and_what_was_removed_are_records_too(tmp_path: Path) -> None:
    session = ran(tmp_path)
    (data,) = tmp_path.glob("steps/*/data.arrow")
    data.write_bytes(data.read_bytes()[:-1])
    (problem,) = session.verify()
    assert isinstance(problem, Problem)
    assert problem.as_dict().keys() == {"path", "what"}
    (gone, *_) = session.gc(keep=[], dry_run=True)
    assert isinstance(gone, Removed)
    assert json.loads(json.dumps(gone.as_dict())) == {"path": gone.path, "n_bytes": gone.n_bytes, "why": "not kept", "cost": gone.cost, "seconds": 0.0}


def test_records_are_frozen() -> None:
    for record in (StepRun(label="a"), PlanRecord(name="a", key="b", label="c"), RunRecord()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            record.label = "x"  # type: ignore[union-attr,misc]


def test_models_are_records_too(tmp_path: Path) -> None:
    with dr.Session(tmp_path) as session:
        out = session.stores.models.workdir("0" * 32, "SFT") / "out"
        out.mkdir()
        (out / "config.json").write_text("{}")
        said = {"trainer": "SFT", "describe": "TRAIN SFT base", "rows": 8, "train_s": 2.5, "metrics": {"loss": 0.5}, "notes": ["a row was cut"]}
        session.stores.models.commit("0" * 32, "tuned", out, said)
        (model,) = session.models()
    assert (model.label, model.trainer, model.rows, model.seconds, model.metrics, model.notes) == ("tuned", "SFT", 8, 2.5, {"loss": 0.5}, ("a row was cut",))
    assert (tmp_path / "models" / model.name / "config.json").exists()
    assert dr.Session.existing(tmp_path).as_dict()["models"] == [model.as_dict()]


def test_names_that_an_older_dreamframe_kept_as_its_own_are_shown_as_people_read_them() -> None:
    old = f"prompt(echo, 'Say {{t}}')#4e6716a4{HINT}"
    held = {"folder": "x-1", "key": "1" * 32, "label": old, "describe": "DROP ['__keep_2']", "steps": [{"event": "step", "label": old}]}
    step = step_record(held)
    assert (step.label, step.describe, step.ran[0].label) == ("prompt(echo, 'Say {t}')#4e6716a4", "DROP ['keep']", "prompt(echo, 'Say {t}')#4e6716a4")
    plan = plan_record({"name": "x-1", "key": "1" * 32, "label": old, "explain": "DROP ['__keep_2']"})
    assert (plan.label, plan.explain) == ("prompt(echo, 'Say {t}')#4e6716a4", "DROP ['keep']")
