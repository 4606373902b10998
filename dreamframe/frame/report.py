"""What an evaluation found, as a frozen value: figures with intervals, slice by slice, and the gate that a script or a CI job passes or not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import polars as pl

from dreamframe.errors import SettingError, did_you_mean, listed
from dreamframe.frame.tracebacks import short_in
from dreamframe.measure.figures import ALL, FIGURES, Figure
from dreamframe.measure.gate import check
from dreamframe.measure.number import number
from dreamframe.plan.rows_page import rows_html
from dreamframe.redaction.visible import visible


@short_in
@dataclass(frozen=True, repr=False)
class Report:
    """The figures of `df.evaluate(...)`: `report["f1"]` is that of all rows, `report.get("f1", "lang=de")` that of a slice.

    `rows` counts the rows evaluated, `confidence` is that of all intervals. It is plain data: `to_frame()`, `as_dict()` and `to_json()` give it on.

    >>> report = dr.frame({"said": ["a", "b", "a"], "gold": ["a", "b", "b"]}).evaluate(dr.metrics.accuracy("said", "gold"))
    >>> print(report)
    evaluate: 3 rows, intervals of 95 %
    slice     metric    value  interval        n  note
    all rows  accuracy  0.667  0.208 to 0.939  3  few rows
    """

    name: str
    figures: tuple[Figure, ...]
    confidence: float = 0.95
    rows: int = 0

    def __getitem__(self, metric: str) -> Figure:
        return self.get(metric)

    def __iter__(self) -> Iterator[Figure]:
        return iter(self.figures)

    def __len__(self) -> int:
        return len(self.figures)

    def get(self, metric: str, slice: str = ALL) -> Figure:
        """The figure of a metric in a slice. Raises SettingError where there is none.

        >>> report = dr.frame({"p": [1, 1], "g": [1, 0], "k": ["x", "y"]}).evaluate(dr.metrics.accuracy("p", "g"), by="k")
        >>> report.get("accuracy", "k=y").value
        0.0
        """
        for one in self.figures:
            if (one.metric, one.slice) == (metric, slice):
                return one
        metrics, slices = (list(dict.fromkeys(names)) for names in ([f.metric for f in self.figures], [f.slice for f in self.figures]))
        if metric not in metrics:
            raise SettingError(f"{self.name}: no figure {metric!r} in this report; it has {listed(metrics)}.{did_you_mean(str(metric), metrics)}")
        raise SettingError(f"{self.name}: no slice {slice!r} in this report; it has {listed(slices)}.{did_you_mean(str(slice), slices)}")

    def gate(self, *conditions: str) -> Self:
        """Raise GateError, in one line, where a figure does not meet a condition; else give the report. A script that does not catch it exits with code 1.

        A condition is `"f1 >= 0.8"` (with `>=`, `>`, `<=`, `<` or `==`; `80 %` is 0.8), of all rows; `"f1.low >= 0.8"` is of the lower end of the interval
        (also `.high`, `.n`, `.n_missing`, `.n_unknown`), `"f1 >= 0.7 in every slice"` of all slices and of all rows, `"f1 >= 0.7 in lang=de"` of one. A figure
        that is not defined meets none. Raises SettingError for what is no condition, or is of a figure that is not there.

        >>> report = dr.frame({"p": [1, 1, 1], "g": [1, 1, 0]}).evaluate(dr.metrics.accuracy("p", "g"))
        >>> _ = report.gate("accuracy >= 60 %", "accuracy.n >= 3")
        >>> try:
        ...     report.gate("accuracy >= 0.9")
        ... except dr.errors.GateError as exc:
        ...     print(exc)
        gate: accuracy >= 0.9 fails: of all rows accuracy is 0.667 (0.208 to 0.939, n = 3)
        """
        check(conditions, self.figures)
        return self

    def to_frame(self) -> pl.DataFrame:
        """A row for each metric and slice: slice, metric, value, low, high, n, n_missing, n_unknown, method, note.

        >>> dr.frame({"p": [1], "g": [1]}).evaluate(dr.metrics.accuracy("p", "g")).to_frame().select("metric", "value", "n").rows()
        [('accuracy', 1.0, 1)]
        """
        return pl.DataFrame([f.as_dict() for f in self.figures], schema=FIGURES)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON.

        >>> dr.frame({"p": [1], "g": [1]}).evaluate(dr.metrics.accuracy("p", "g")).as_dict()["figures"][0]["value"]
        1.0
        """
        return {"name": self.name, "rows": self.rows, "confidence": self.confidence, "figures": [f.as_dict() for f in self.figures]}

    def to_json(self) -> str:
        """As a JSON text.

        >>> dr.frame({"p": [1], "g": [1]}).evaluate(dr.metrics.accuracy("p", "g")).to_json()[:34]
        '{"name": "evaluate", "rows": 1, "c'
        """
        return json.dumps(self.as_dict(), ensure_ascii=False)

    def __repr__(self) -> str:
        told = shown(self.figures)
        lines = [self._head(), *aligned([told.columns, *map(list, told.iter_rows())])]
        return visible("\n".join(lines))

    def _head(self) -> str:
        rows = f"{self.rows:,} row{'' if self.rows == 1 else 's'}"
        return f"{self.name}: {rows}, intervals of {100 * self.confidence:g} %"

    def _repr_html_(self) -> str:
        return f"<p>{visible(self._head()).replace('&', '&amp;').replace('<', '&lt;')}</p>{rows_html(shown(self.figures))}"


@dataclass(frozen=True, repr=False)
class Agreement(Report):
    """The figures of `df.agreement(...)`, and which ratings stand beside which: `confusion` has a row for each two raters and two ratings, with the number `n`
    of rows that have them; a null is a rating that is not there."""

    confusion: pl.DataFrame = field(default_factory=pl.DataFrame, compare=False)

    def __repr__(self) -> str:
        return f"{super().__repr__()}\n\n{visible(str(self.confusion))}"

    def _repr_html_(self) -> str:
        return super()._repr_html_() + rows_html(self.confusion)


def report_of(name: str, table: pl.DataFrame, *, confidence: float) -> Report:
    """The report of a table of figures."""
    held = tuple(Figure(**one) for one in table.select(list(FIGURES)).to_dicts())
    return Report(name, held, confidence, held[0].rows if held else 0)


def shown(figures: tuple[Figure, ...]) -> pl.DataFrame:
    """Figures in words."""
    made: list[Mapping[str, str]] = [
        {
            "slice": f.slice,
            "metric": f.metric,
            "value": number(f.value),
            "interval": "unknown" if f.low is None or f.high is None else f"{number(f.low)} to {number(f.high)}",
            "n": f"{f.n:,}",
            "note": f.note,
        }
        for f in figures
    ]
    return pl.DataFrame(made, schema=dict.fromkeys(("slice", "metric", "value", "interval", "n", "note"), pl.String))


def aligned(lines: list[list[str]]) -> list[str]:
    """Lines of a table, the number of rows at the right edge of its column."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return ["  ".join(cell.rjust(widths[i]) if i == 4 else cell.ljust(widths[i]) for i, cell in enumerate(line)).rstrip() for line in lines]
