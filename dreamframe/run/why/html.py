"""A row's story as HTML, for a notebook: no script, everything escaped, long parts folded, in the notebook's own font and light or dark."""

from __future__ import annotations

import html
import json
from collections.abc import Collection, Mapping
from typing import Any

from dreamframe.plan.style import STYLE
from dreamframe.redaction.visible import visible
from dreamframe.run.why.text import content_text, facts, is_said, likely, summary

Told = Mapping[str, Any]
FOLDED = 600  # characters of a text that is shown unfolded
WHY = """<style>
.dreamframe.df-why{font-size:13px;max-width:60em}
.df-why h4{font-size:13px;margin:12px 0 4px}
.df-why table{border-collapse:collapse;margin:4px 0;font-size:13px;line-height:20px;color:inherit}
.df-why td,.df-why th{text-align:left!important;vertical-align:top;padding:2px 12px 2px 0;border-bottom:1px solid var(--df-line);font-weight:normal}
.df-why th,.df-why .df-dim{color:var(--df-dim)}
.df-why pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;word-break:normal;background:none;padding:0;font-size:13px}
.df-why tbody tr{background:none!important}
.df-why .df-model{background:var(--df-model)}
.df-why .df-failed{color:var(--df-bad)}
</style>"""


def story_html(story: Told) -> str:
    """What `as_dict()` of a story says, as HTML."""
    others = len(story["found"])
    more = f" <span class='df-dim'>the first of {others:,} that the condition finds</span>" if others > 1 else ""
    calls = [c for step in story["steps"] for row in step["rows"] for c in row["calls"]]
    steps = "".join(_step(number, step) for number, step in enumerate(story["steps"], 1))
    written = {name for step in story["steps"] for row in step["rows"] if row["calls"] for name in row["values"]}
    whole = f"<h4>row {story['row']:,}{more}</h4>{_columns(story['values'], of_model=written)}{steps}<p class='df-dim'>{_text(summary(calls))}</p>"
    return f"{STYLE}{WHY}<div class='dreamframe df-why'>{whole}</div>"


def _step(number: int, step: Told) -> str:
    note = f"<div class='df-dim'>{_text(step['note'])}</div>" if step["note"] else ""
    left = step["n_rows"] - len(step["rows"])
    more = f"<div class='df-dim'>… and {left:,} more rows</div>" if step["rows"] and left > 0 else ""
    return f"<h4>{number}. <code>{_text(step['describe'])}</code></h4>{note}{''.join(_row(step, row) for row in step['rows'])}{more}"


def _row(step: Told, row: Told) -> str:
    if step["kind"] == "source":
        return f"<div class='df-dim'>row {row['row']:,}</div>{_columns(row['values'])}"
    failed = f"<div class='df-failed'>✗ failed: {_text(row['error'])}</div>" if row["error"] and not is_said(row) else ""
    note = f"<div class='df-dim'>{_text(row['note'])}</div>" if row["note"] else ""
    return "".join(map(_call, row["calls"])) + note + failed + ("" if row["error"] else _columns(row["values"], of_model=row["values"] if row["calls"] else ()))


def _call(call: Told) -> str:
    lines = [(m["role"], _folded(content_text(m["content"]))) for m in call["messages"]]
    if call["text"] is not None:
        lines.append(("text", _folded(call["text"])))
    if call["json_schema"] is not None:
        lines.append(("schema", _details("JSON schema", json.dumps(call["json_schema"], ensure_ascii=False, indent=1))))
    if call["reasoning"]:
        lines.append(("thoughts", _details("thoughts", call["reasoning"])))
    lines.append(("answer", _answer(call)))
    if call["probabilities"] is not None:
        lines.append(("likely", _text(likely(call))))
    told = "".join(f"<tr><th>{_text(str(name))}</th><td>{held}</td></tr>" for name, held in lines)
    return f"<table>{told}</table><div class='df-dim'>{_text(' · '.join(facts(call)))}</div>"


def _answer(call: Told) -> str:
    if not call["is_kept"]:
        return f"<span class='df-failed'>✗ none: {_text(call['note'] or '')}</span>"
    if call["dimensions"] is not None:
        return f"a vector of {call['dimensions']:,} numbers"
    return f"<div class='df-model'>{_folded(call['answer'] or '(nothing)')}</div>"


def _columns(values: Told, *, of_model: Collection[str] = ()) -> str:
    """`of_model`: the columns that a model wrote."""
    marks = {name: " class='df-model'" if name in of_model else "" for name in values}
    rows = "".join(f"<tr><th>{_text(str(name))}</th><td{marks[name]}>{_folded(_written(value))}</td></tr>" for name, value in values.items())
    return f"<table>{rows}</table>" if rows else ""


def _written(value: Any) -> str:
    return value if isinstance(value, str) else "null" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _folded(text: str) -> str:
    return f"<pre>{_text(text)}</pre>" if len(text) <= FOLDED else _details(f"{' '.join(text[:120].split())}…", text)


def _details(summary: str, text: str) -> str:
    return f"<details><summary>{_text(summary)}</summary><pre>{_text(text)}</pre></details>"


def _text(text: str) -> str:
    return html.escape(visible(text))
