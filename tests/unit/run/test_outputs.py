"""What is stored of a step speaks of that step."""

from __future__ import annotations

from pathlib import Path

import dreamframe as dr
from dreamframe.testing import Echo


def test_a_record_counts_the_calls_of_its_own_plan_and_of_no_other_in_the_run(tmp_path: Path):
    rows = dr.frame({"t": ["tea", "jam", "oat"]})
    one, other = rows.prompt(Echo(), "{t}", into="a"), rows.head(2).prompt(Echo("other"), "Say {t}", into="b")
    with dr.Session(tmp_path) as session:
        dr.collect_all([one, other])
        assert {record.label: record.calls for record in session.steps()} == {"a": 3, "b": 2}
