"""What evaluations found of rows or of a model, as a section of their card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dreamframe.cards import markdown as md
from dreamframe.cards.records import Records
from dreamframe.measure.number import number


def evaluation_section(records: Records, shown: Callable[[object], str]) -> list[str]:
    """A table for each evaluation: a row for each figure, with its interval."""
    told: list[str] = []
    for report in records.reports:
        figures = report.get("figures") or []
        rows = [_row(one, shown) for one in figures]
        head = ("slice", "figure", "value", "interval", "rows", "note")
        told += [f"{md.code(shown(report.get('label')))}:", md.table(head, rows)]
    return ["## Evaluation", *told] if told else []


def _row(figure: Mapping[str, Any], shown: Callable[[object], str]) -> list[str]:
    low, high, p = (figure.get(name) for name in ("low", "high", "p_value"))
    between = "–" if low is None or high is None else f"{number(low)} to {number(high)}"
    notes = [str(figure.get("note") or ""), "" if p is None else f"p = {p:.2g}"]
    cells = [md.text(shown(figure["slice"])), md.code(shown(figure["metric"]), cell=True), number(figure.get("value")), between, f"{figure.get('n') or 0:,}"]
    return [*cells, md.text(shown("; ".join(n for n in notes if n))) or "–"]
