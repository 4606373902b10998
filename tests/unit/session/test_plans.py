"""What a session keeps of the plans that ran: read elsewhere, they give the same rows without a call; nothing secret is in them."""

from __future__ import annotations

import json
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import PlanFormatError
from dreamframe.session import plans as kept_plans
from dreamframe.testing import Echo

KEY = "sk-kept-0123456789abcdef"
ROWS = pl.DataFrame({"t": ["tea", "rain", "jam"], "n": [1, 2, 3]})


def said(llm: Any = None, rows: Any = ROWS, **settings: Any) -> dr.Frame:
    return dr.frame(rows).prompt(llm or Echo(), "Say {t}", into="said", **settings)


def moved(folder: Path, to: Path) -> Path:
    """The session as a stranger gets it."""
    with dr.Session(folder) as session:
        archive = session.export(folder.parent / "run.tar")
    dr.Session.load(archive, to).close()
    archive.unlink()
    return to


def test_a_kept_plan_gives_its_rows_elsewhere_without_a_call(tmp_path: Path) -> None:
    with dr.Session(tmp_path / "a"):
        rows = said().filter(pl.col("n") > 1).collect()
    with dr.Session(moved(tmp_path / "a", tmp_path / "b"), offline=True) as session:
        (plan,) = session.plans()
        assert (plan.label, plan.kind, plan.columns) == ("filter", "frame", ("t", "n", "said"))
        assert plan.explain.startswith("FILTER")
        assert {"dreamframe", "polars", "pyarrow"} <= plan.libraries.keys()
        for name in (plan.name, plan.label, plan.key):
            assert session.plan(name).collect().equals(rows)  # type: ignore[union-attr]
        assert session.usage()["calls"] == 0


def test_rows_of_types_that_arrow_has_not_are_kept_too(tmp_path: Path) -> None:
    table = ROWS.with_columns(big=pl.Series([2**100, None, -1], dtype=pl.Int128), kind=pl.Series(["b", "a", None], dtype=pl.Enum(["b", "a"])))
    with dr.Session(tmp_path / "a"):
        rows = said(rows=table).collect()
    with dr.Session(moved(tmp_path / "a", tmp_path / "b"), offline=True) as session:
        assert session.verify() == []
        assert session.plan("said").collect().equals(rows)  # type: ignore[union-attr]
        assert session.usage()["reused"] == 1


def test_files_that_are_not_there_any_more_are_in_the_session(tmp_path: Path) -> None:
    ROWS.write_csv(tmp_path / "rows.csv")
    with dr.Session(tmp_path / "a"):
        rows = dr.scan_csv(tmp_path / "rows.csv").prompt(Echo(), "Say {t}", into="said").collect()
    (tmp_path / "rows.csv").unlink()
    folder = moved(tmp_path / "a", tmp_path / "b")
    with dr.Session(folder, offline=True) as session:
        plan = session.plan("said")
        assert plan.collect().equals(rows)  # type: ignore[union-attr]
        assert session.usage()["reused"] == 1, "the stored output is found by the key of the files"
        assert "rows.csv" in plan.card()
    shutil.rmtree(folder / "steps")
    with dr.Session(folder, offline=True) as session:
        assert session.plan("said").collect().equals(rows)  # type: ignore[union-attr]
        assert session.usage()["from_cache"] == 3
        assert len(session.plans()) == 1


def test_an_edited_row_of_a_kept_plan_asks_for_that_row_alone(tmp_path: Path) -> None:
    with dr.Session(tmp_path):
        said().collect()
    with dr.Session(tmp_path) as session:
        plan = session.plan("said")
        plan.prompt(Echo(), "Again {said}", into="again").collect()  # type: ignore[union-attr]
        assert session.usage()["calls"] == 3


def test_a_plan_is_kept_once_and_a_cheap_one_never(tmp_path: Path) -> None:
    with dr.Session(tmp_path) as session:
        for _ in range(2):
            said().collect()
            dr.frame(ROWS).head(2).collect()
        assert [p.label for p in session.plans()] == ["said"]


def test_several_plans_of_one_label_are_told_apart_by_name(tmp_path: Path) -> None:
    with dr.Session(tmp_path) as session:
        said().collect()
        said(system="Be brief.").collect()
        first, second = (p.name for p in session.plans())
        with pytest.raises(PlanFormatError, match=f"several plans are called 'said'. There are: '{first}', '{second}'"):
            session.plan("said")
        with pytest.raises(PlanFormatError, match=r"no plan is called 'tea'\. There are: "):
            session.plan("tea")


def test_a_plan_that_no_text_can_hold_is_kept_as_what_explain_says(tmp_path: Path) -> None:
    with dr.Session(tmp_path) as session:
        said().with_columns(pl.col("said").map_elements(str.upper, return_dtype=pl.String)).collect()
        (plan,) = session.plans()
        assert plan.explain.startswith("WITH COLUMNS")
        with pytest.raises(PlanFormatError, match=r"kept as text alone and cannot be run: with_columns: .* Do it in df\.map"):
            session.plan(plan.name)


def test_functions_are_handed_over(tmp_path: Path) -> None:
    def loud(row: dict[str, Any]) -> dict[str, Any]:
        return {"loud": row["t"].upper()}

    with dr.Session(tmp_path) as session:
        rows = dr.frame(ROWS).map(loud, schema={"loud": pl.String}).collect()
        with pytest.raises(PlanFormatError, match="the function 'loud'"):
            session.plan("map")
        assert session.plan("map", functions=[loud]).collect().equals(rows)  # type: ignore[union-attr]


def test_a_disk_that_refuses_the_plan_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise dr.errors.StorageError("no space left")

    monkeypatch.setattr("dreamframe.store.plans.Plans.keep", full)
    with dr.Session(tmp_path) as session:
        with pytest.warns(UserWarning, match=r"the plan of said was not kept .*no space left"):
            rows = said().collect()
        assert rows.height == 3
        assert session.plans() == []


def test_rows_beyond_the_limit_are_named_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_plans, "MOST_BYTES", 10)
    with dr.Session(tmp_path) as session:
        said().collect()
        assert not (tmp_path / "sources").exists()
        with pytest.raises(PlanFormatError, match="the rows of a table were not kept"):
            session.plan("said")


@pytest.mark.parametrize(("most", "n_kept"), [(20_000, 0), (3_000_000, 1)])
def test_rows_that_a_small_file_unfolds_to_are_kept_only_where_they_are_few(most: int, n_kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_plans, "MOST_UNFOLDED", most)
    rows = pl.DataFrame({"t": ["x" * 1_000] * 2_000})
    rows.write_parquet(tmp_path / "rows.parquet")
    assert (tmp_path / "rows.parquet").stat().st_size < 20_000
    with dr.Session(tmp_path / "session"):
        dr.scan_parquet(tmp_path / "rows.parquet").head(2).prompt(Echo(), "Say {t}", into="said").collect()
    found = list((tmp_path / "session").glob("sources/*.arrow"))
    assert len(found) == n_kept
    assert all(pl.read_ipc_stream(path).equals(rows) for path in found)


def test_damage_is_seen_and_never_read(tmp_path: Path) -> None:
    with dr.Session(tmp_path):
        said().collect()
    (plan,) = (tmp_path / "plans").iterdir()
    plan.write_text(plan.read_text().replace("Say {t}", "Cry {t}").replace("Say ", "Cry "))
    with dr.Session(tmp_path) as session:
        assert [p.path for p in session.verify()] == [f"plans/{plan.name}"]
        with pytest.warns(UserWarning, match="does not have its checksum"), pytest.raises(PlanFormatError):
            session.plan("said")


def script(monkeypatch: pytest.MonkeyPatch, **held: Any) -> None:
    main = types.ModuleType("__main__")
    vars(main).update(held)
    monkeypatch.setitem(sys.modules, "__main__", main)


def test_the_script_is_kept_without_keys_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "label.py").write_text(f"llm = dr.OpenAI('m', api_key='{KEY}')\nrows = dr.scan_csv('{tmp_path}/rows.csv')\n")
    script(monkeypatch, __file__=str(tmp_path / "label.py"))
    with dr.Session(tmp_path / "s", keep_script=True) as session:
        said().collect()
        (plan,) = session.plans()
    text = (tmp_path / "s" / "scripts" / plan.script).read_text()
    assert plan.script.startswith("label-")
    assert text == "llm = dr.OpenAI('m', api_key='***')\nrows = dr.scan_csv('rows.csv')\n"
    (tmp_path / "s" / "scripts" / plan.script).write_text("print('tea')")
    with dr.Session(tmp_path / "s") as session:
        assert [p.path for p in session.verify()] == [f"scripts/{plan.script}"]


def test_the_cells_of_a_notebook_are_its_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, In=["", "import dreamframe as dr", "df = dr.frame({})"])
    with dr.Session(tmp_path, keep_script=True) as session:
        said().collect()
        (plan,) = session.plans()
    assert (tmp_path / "scripts" / plan.script).read_text() == "# %%\nimport dreamframe as dr\n\n# %%\ndf = dr.frame({})\n"


def test_no_key_and_no_path_of_this_machine_is_in_a_kept_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", KEY)
    ROWS.write_csv(tmp_path / "rows.csv")
    llm = dr.OpenAI("m", api_key=KEY + "x", base_url=f"http://me:{KEY}y@127.0.0.1:9/v1", attempts=1)
    with dr.Session(tmp_path / "s") as session:
        for frame in (dr.scan_csv(tmp_path / "rows.csv").prompt(llm, "{t}", on_error="null"), said(rows={"t": ["a"]}, system=f"Use {KEY}.")):
            frame.collect()
        assert [bool(p.problem) for p in session.plans()] == [False, True], "a plan that holds a key as plain text is not kept"
    held = b"".join(p.read_bytes() for part in ("plans", "scripts", "sources") for p in (tmp_path / "s" / part).rglob("*") if p.is_file())
    assert KEY.encode() not in held
    assert str(tmp_path).encode() not in held


def test_gc_keeps_what_the_kept_plans_need_and_says_what_the_rest_is_worth(tmp_path: Path) -> None:
    with dr.Session(tmp_path, prices={"echo": (1.0, 1.0)}) as session:
        kept, other = said(), said(rows={"t": ["snow"]})
        dr.collect_all([kept])
        dr.collect_all([other])
        told = session.gc(keep=[kept], dry_run=True)
        assert sorted(r.path.split("/")[0] for r in told) == ["plans", "sources", "sources", "steps"]
        assert all(r.n_bytes > 0 and r.why == "not kept" for r in told)
        assert session.gc(keep=[kept]) == told
        assert session.gc(keep=[kept]) == []
        assert session.verify() == []
        (plan,) = session.plans()
        assert session.plan(plan.name).collect().equals(kept.collect())  # type: ignore[union-attr]
        other.collect()
        assert session.usage()["calls"] == 4, "what went is made again from the answers"


def test_plans_are_readable_json(tmp_path: Path) -> None:
    with dr.Session(tmp_path):
        said().collect()
    (path,) = (tmp_path / "plans").iterdir()
    assert [s["step"] for s in json.loads(path.read_text())["steps"]] == ["Table", "PromptStep"]


def test_weights_that_are_elsewhere_keep_their_identity_and_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamframe.models.local.weights import KeptWeights, weights_identity, weights_path

    monkeypatch.chdir(tmp_path)
    Path("base").mkdir()
    Path("base/config.json").write_text("{}")
    here = weights_identity("base")
    assert isinstance(here, str)
    assert type(KeptWeights.named("base", here)) is str, "they are here: nothing is special about them"
    for outside in (str(tmp_path / "base"), f"../{tmp_path.name}/base", "/", "."):
        assert type(KeptWeights.named(outside, here)) is KeptWeights, "nothing is looked for elsewhere"
    Path("base/config.json").write_text('{"changed": true}')
    elsewhere = KeptWeights.named("base", here)
    assert weights_identity(elsewhere) == here
    assert weights_identity("base") != here
    with pytest.raises(dr.errors.SettingError, match="the weights 'base' that this plan was made with are not here"):
        weights_path(elsewhere)


def test_a_key_is_that_of_one_plan_under_whatever_labels(tmp_path: Path) -> None:
    with dr.Session(tmp_path) as session:
        df = dr.frame({"t": ["tea"]}).prompt(Echo(), "Say {t}", into="said")
        rows = df.collect()
        dr.frame({"t": ["tea"]}).prompt(Echo(), "Say {t}", into="said", name="again").collect()
        first, second = session.plans()
        assert first.key == second.key
        found = session.plan(first.key)
        assert isinstance(found, dr.Frame)
        assert found.collect(offline=True).equals(rows)


def test_rows_of_files_that_a_session_kept_have_a_name_of_a_persons_own(tmp_path: Path):
    (tmp_path / "rows.csv").write_text("t\ntea\n")
    with dr.Session(tmp_path / "out") as session:
        dr.scan_csv(tmp_path / "rows.csv").prompt(dr.testing.Echo(), "{t}", into="said").collect()
        story = str(session.plan("said").why(0))
    assert "1. KEPT rows.csv [1 columns]\n" in story, "no word in brackets behind it"
