"""Rows as HTML for notebooks, without scripts: the type under each name, texts whole and folded, a tint behind what models wrote."""

from __future__ import annotations

import html
import json
from collections.abc import Collection, Mapping
from typing import Any

import polars as pl

from dreamframe.plan.step import Step
from dreamframe.plan.style import STYLE
from dreamframe.redaction.visible import in_line, visible

FOLDED = 140  # characters of a text that is shown unfolded
ROWS = """<style>
.dreamframe .rows{overflow:auto;max-height:800px}
.dreamframe .rows table{border-collapse:collapse;font:13px/20px ui-monospace,monospace;margin:0;color:inherit}
.dreamframe .rows td,.dreamframe .rows th{padding:4px 12px;vertical-align:top;border:0;border-bottom:1px solid var(--df-line)}
.dreamframe .rows td,.dreamframe .rows th{font-weight:normal;min-width:4ch;max-width:56ch;white-space:normal;overflow-wrap:break-word}
.dreamframe .rows .n{text-align:right!important;font-variant-numeric:tabular-nums;white-space:nowrap}
.dreamframe .rows .t{min-width:24ch}.dreamframe .rows th{white-space:nowrap}
.dreamframe .rows th small{display:block}.dreamframe .rows tbody tr{background:none!important}
.dreamframe .rows .model{background:var(--df-model)}.dreamframe .rows i{color:var(--df-dim)}.dreamframe .rows .bad{color:var(--df-bad)}
.dreamframe .rows pre{display:inline;overflow-wrap:break-word;word-break:normal;padding:0}
.dreamframe .rows summary{line-height:20px}.dreamframe .rows details[open]>summary{color:var(--df-dim)}
</style>"""


class Shown(pl.DataFrame):
    """Rows that a notebook shows with whole texts. `_failed`: columns whose values say what went wrong."""

    _failed: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: pl.DataFrame, *, failed: tuple[str, ...] = ()) -> Shown:
        made = cls(rows)
        made._failed = failed
        return made

    def _repr_html_(self, *, _from_series: bool = False) -> str:
        return rows_html(self, failed=getattr(self, "_failed", ()))


def rows_html(rows: pl.DataFrame, *, by_models: Collection[str] = (), failed: Collection[str] = ()) -> str:
    """All rows as a table. `by_models`: the columns that models wrote; `failed`: those that say what went wrong."""
    if not rows.width:
        return f'{STYLE}<div class="dreamframe"><small>no columns</small></div>'
    kinds = {c: " n" if dtype.is_numeric() else " t" if _is_long(rows.get_column(c)) else "" for c, dtype in rows.schema.items()}
    marks = {c: (kinds[c] + (" model" if c in by_models else "") + (" bad" if c in failed else "")).strip() for c in rows.columns}
    head = "".join(f'<th class="{kinds[c].strip()}">{_text(in_line(c))}<small>{_text(str(dtype))}</small></th>' for c, dtype in rows.schema.items())
    body = "".join(f"<tr>{''.join(_cell(row[c], marks[c]) for c in rows.columns)}</tr>" for row in rows.iter_rows(named=True))
    size = f"{rows.height:,} row{'' if rows.height == 1 else 's'}, {rows.width:,} column{'' if rows.width == 1 else 's'}"
    told = f"{size} · tinted: written by a model" if any(c in by_models for c in rows.columns) and rows.height else size
    table = f'<div class="rows"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    return f'{STYLE}{ROWS}<div class="dreamframe">{table}<small>{told}</small></div>'


def _is_long(column: pl.Series) -> bool:
    """Whether a column of texts needs room."""
    longest = column.str.len_chars().max() if column.dtype == pl.String else 0
    return isinstance(longest, int) and longest > 40


def _cell(value: Any, mark: str) -> str:
    kind = f' class="{mark}"' if mark else ""
    if value is None:
        return f"<td{kind}><i>null</i></td>"
    if isinstance(value, str):
        return f"<td{kind}>{_folded(value)}</td>"
    if isinstance(value, (Mapping, list, tuple)):
        return f"<td{kind}>{_folded(json.dumps(value, ensure_ascii=False, default=_other, indent=1 if isinstance(value, Mapping) else None))}</td>"
    if isinstance(value, (bytes, bytearray)):
        return f"<td{kind}><i>{len(value):,} bytes</i></td>"
    shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return f"<td{kind}>{_folded(shown)}</td>"


def _other(value: Any) -> str:
    return f"{len(value):,} bytes" if isinstance(value, (bytes, bytearray)) else str(value)


def _folded(text: str) -> str:
    shown = visible(text)
    if len(shown) <= FOLDED and shown.count("\n") < 3:
        return f"<pre>{_text(shown)}</pre>"
    first = in_line(text[:FOLDED]).rstrip()
    return f"<details><summary>{_text(first)}…</summary><pre>{_text(shown)}</pre></details>"


def _text(text: str) -> str:
    return html.escape(visible(text))


def written_by_models(step: Step) -> frozenset[str]:
    """The columns of a plan's rows that models wrote, by the names that they have at the end.

    >>> import dreamframe as dr
    >>> frame = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said").rename({"said": "told"})
    >>> sorted(written_by_models(frame.step))
    ['told']
    """
    found: dict[int, frozenset[str]] = {}
    for node in step.walk():
        below = frozenset().union(*(found[id(i)] for i in node.inputs))
        passed = node.passes()
        kept = {c for c in node.schema if passed.get(c, c) in below and (c in passed or not passed)}
        found[id(node)] = frozenset(kept | (set(node.writes()) if node.models() and node.inputs else set()))
    return found[id(step)]
