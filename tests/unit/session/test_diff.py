"""session.diff: exactly the steps, rows, metrics and costs that differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.testing import Scripted
from tests.storing import step_key

NAMES = ["tea", "jam", "bread", "salt"]


def plan(*, ask: str = "Praise {name}.", second: str = "b", names: list[str] = NAMES) -> dr.Frame:
    """Two prompts and a filter: the second model shouts at what is long."""
    praise = Scripted(lambda p: p.lower().replace("extol", "praise") if "jam" not in p else p, model="a")
    shout = Scripted({f"Shout: {x}": x.upper() for x in [f"{v} {n}." for v in ("praise", "Praise", "Extol") for n in NAMES]} | {"?": second}, model=second)
    df = dr.frame({"name": names, "i": range(len(names))})
    return df.prompt(praise, ask, into="praise").prompt(shout, "Shout: {praise}", into="loud").filter(pl.col("i") >= 0)


def session(folder: Path, frame: dr.Frame, **settings: Any) -> dr.Session:
    with dr.Session(folder, progress=False, **settings) as active:
        frame.collect()
    return active


def test_one_prompt_and_one_model_that_differ_are_named_with_exactly_their_rows(tmp_path: Path) -> None:
    before = session(tmp_path / "before", plan())
    after = session(tmp_path / "after", plan(ask="Extol {name}.", second="c"))
    found = after.diff(before)
    assert [s.partition(":")[0].partition(" ←")[0] for s in found.steps] == ["PROMPT loud", "PROMPT praise"]
    assert "prompt (was: PROMPT praise ← a 'Praise {name}.')" in found.steps[1]
    assert "llm" in found.steps[0]
    assert (found.only_here, found.only_there) == ([], [])
    assert found.rows.select("row", "row_before", "column", "before", "after").rows() == [
        (1, 1, "loud", "PRAISE JAM.", "EXTOL JAM."),
        (1, 1, "praise", "Praise jam.", "Extol jam."),
    ], "the others say the same as before"
    assert found.spent["calls"] == (8, 8)
    assert found
    assert before.diff(after).rows.get_column("after").to_list() == ["PRAISE JAM.", "Praise jam."]


def test_a_session_does_not_differ_from_itself_or_from_another_run_of_the_same(tmp_path: Path) -> None:
    one, two = session(tmp_path / "1", plan()), session(tmp_path / "2", plan())
    assert not one.diff(one)
    assert not one.diff(two)
    assert repr(one.diff(two)).splitlines()[0] == "The same outputs and models."


def test_rows_that_came_or_went_are_told_from_rows_that_flipped(tmp_path: Path) -> None:
    before = session(tmp_path / "before", plan())
    after = session(tmp_path / "after", plan(ask="Extol {name}.", names=["tea", "jam", "salt"]).drop("i"))
    rows = after.diff(before).rows
    assert rows.select("row", "row_before", "column", "before", "after").rows() == [
        (1, 1, "loud", "PRAISE JAM.", "EXTOL JAM."),
        (1, 1, "praise", "Praise jam.", "Extol jam."),
        (None, 2, "loud", "PRAISE BREAD.", None),
        (None, 2, "name", "bread", None),
        (None, 2, "praise", "praise bread.", None),
    ]


def test_a_step_that_was_put_in_is_named(tmp_path: Path) -> None:
    before = session(tmp_path / "before", plan())
    after = session(tmp_path / "after", plan().with_columns(n=pl.col("i") * 2).filter(pl.col("n") > 2))
    found = after.diff(before)
    assert found.steps
    assert all("WITH COLUMNS" in s or "FILTER" in s for s in found.steps), found.steps
    assert set(found.rows.select("row", "row_before").rows()) == {(None, 0), (None, 1)}, "two rows are gone, none flipped"
    assert "filter only in the other, name: 'tea' → null" in repr(found)


def test_outputs_without_a_counterpart_are_listed(tmp_path: Path) -> None:
    before = session(tmp_path / "before", plan())
    with dr.Session(tmp_path / "after", progress=False) as after:
        dr.collect_all([plan(), dr.frame({"x": [1]}).map(lambda row: {"y": row["x"]}, schema={"y": pl.Int64})])
    found = after.diff(before)
    assert [s.partition(" ")[0] for s in found.only_here] == ["MAP"]
    assert found.only_there == []
    assert before.diff(after).only_there == found.only_here


def model(active: dr.Session, n: int, label: str, **metrics: float) -> None:
    models = active.stores.models
    out = models.workdir(step_key(n), label) / "out"
    out.mkdir(parents=True)
    (out / "adapter.safetensors").write_bytes(bytes([n]))
    models.commit(step_key(n), label, out, {"metrics": metrics})


def test_metrics_of_models_that_differ_stand_side_by_side(tmp_path: Path) -> None:
    with dr.Session(tmp_path / "before") as before, dr.Session(tmp_path / "after") as after:
        model(before, 1, "SFT", loss=0.5, accuracy=0.75)
        model(after, 2, "SFT", loss=0.25, accuracy=0.75, extra=1)
        for active in (before, after):
            model(active, 3, "DPO", loss=0.1)
    found = after.diff(before)
    assert found.metrics.rows() == [("SFT", "extra", None, 1.0), ("SFT", "loss", 0.5, 0.25)]
    assert "SFT loss: 0.5 → 0.25" in repr(found)


def test_cost_is_unknown_rather_than_wrong(tmp_path: Path) -> None:
    before = session(tmp_path / "before", plan())
    after = session(tmp_path / "after", plan(ask="Extol {name}."))
    for event in (tmp_path / "after" / "runs").glob("*.jsonl"):
        event.write_text(event.read_text().replace('"cost": 0.0', '"cost": null'))
    assert after.diff(before).spent["cost"] == (0.0, None)
    assert "cost 0 → unknown" in repr(after.diff(before))


@pytest.mark.parametrize("plan_on_record", [None, "text", [], [{"key": 1}]], ids=repr)
def test_records_of_a_stranger_that_cannot_be_read_are_listed_and_break_nothing(tmp_path: Path, plan_on_record: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = session(tmp_path / "before", plan())
    after = session(tmp_path / "after", plan(ask="Extol {name}."))
    odd = [{**r, "plan": plan_on_record} for r in before.stores.steps.all()]  # type: ignore[union-attr]
    monkeypatch.setattr(before.stores.steps, "all", lambda: odd)
    found = after.diff(before)
    assert (len(found.only_here), len(found.only_there)) == (1, 1)


def test_it_can_be_read(tmp_path: Path) -> None:
    found = session(tmp_path / "after", plan(ask="Extol {name}.")).diff(session(tmp_path / "before", plan()))
    assert repr(found) == "\n".join(
        [
            "Steps:",
            "  PROMPT praise ← a 'Extol {name}.': prompt (was: PROMPT praise ← a 'Praise {name}.')",
            "Rows: 1 differ, 2 values (.rows has them all)",
            "  filter row 1, loud: 'PRAISE JAM.' → 'EXTOL JAM.'",
            "  filter row 1, praise: 'Praise jam.' → 'Extol jam.'",
            "Spent: calls 8 → 8, tokens_in 8 → 8, tokens_out 8 → 8, cost 0 → 0",
        ]
    )
    assert found._repr_html_().startswith("<pre>Steps:")


def test_two_certificates_of_a_cascade_differ_by_their_figures_and_columns_of_the_verb_are_named_as_people_know_them(tmp_path: Path) -> None:
    strong = Scripted(lambda asked: "yes" if int(asked) > 100 else "no", model="strong")
    small = Scripted(lambda asked: {True: int(asked) / 200, False: 1 - int(asked) / 200}, model="small")
    before, after = (
        session(tmp_path / str(n), dr.frame({"n": range(n)}).filter_by(strong, "{n}", cascade=dr.Cascade(small, recall=0.8, delta=0.2))) for n in (180, 200)
    )
    found = after.diff(before)
    assert {("filter_by sample", "rows", 180.0, 200.0)} <= set(found.metrics.rows())
    assert "drawn" not in found.metrics["metric"].to_list()
    assert not [c for c in found.rows["column"].unique() if c.startswith("__")]
