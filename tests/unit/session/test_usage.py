"""What a session says that its runs have used."""

from __future__ import annotations

from pathlib import Path

import pytest

import dreamframe as dr


def test_the_summary_names_what_came_from_the_session(tmp_path: Path):
    plan = dr.frame({"t": ["tea", "jam", "tea"]}).prompt(dr.testing.Echo(), "{t}", into="said")
    with dr.Session(tmp_path) as first:
        plan.collect()
        assert first.summary() == "3 model calls, trained nothing"
    with dr.Session(tmp_path) as again:
        plan.collect()
        assert again.summary() == "3 rows from the session, 0 model calls, trained nothing"
    with dr.Session(tmp_path) as other:
        plan.select("t").head(1).with_columns(n=1).prompt(dr.testing.Echo(), "{t}", into="said").collect()
        assert other.summary() == "3 rows and 1 answer from the session, 0 model calls, trained nothing"


def test_what_one_plan_has_used_is_told_apart_from_others(tmp_path: Path):
    rows = dr.frame({"t": ["tea", "jam"]})
    one, other = rows.prompt(dr.testing.Echo(), "{t}", into="a"), rows.prompt(dr.testing.Echo(), "{t}!", into="b")
    with dr.Session(tmp_path / "s") as session:
        one.collect()
        other.head(1).collect()
        used = session.usage(of=one)
        assert (used["calls"], used["tokens_in"], used["cost"]) == (2, 2, 0.0)
        assert used["seconds"] > 0
        assert session.usage(of=other)["calls"] == 1
        assert session.usage(of=rows) == {**dict.fromkeys(used, 0), "cost": 0.0, "seconds": None}
        with pytest.raises(dr.errors.SettingError, match="looks at frames and models; 'a' is neither"):
            session.usage(of="a")  # type: ignore[call-overload]
