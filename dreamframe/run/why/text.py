"""A row's story as text, for a terminal and for whoever prints it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dreamframe.plan.estimate import money
from dreamframe.redaction.visible import in_line, visible

MOST_CHARS = 2_000  # of one text; `as_dict()` has all of it
LINE = 100  # characters of a value that is shown in a line

Told = Mapping[str, Any]


def story_text(story: Told) -> str:
    """What `as_dict()` of a story says, as lines."""
    return "\n".join(_lines(story)).rstrip()


def _lines(story: Told) -> Iterator[str]:
    others = len(story["found"]) - 1
    yield f"row {story['row']:,}" + (f", the first of {others + 1:,} that the condition finds" if others > 0 else "")
    yield from _columns(story["values"], "  ")
    for number, step in enumerate(story["steps"], 1):
        yield ""
        yield from _step(number, step)
    calls = [c for step in story["steps"] for row in step["rows"] for c in row["calls"]]
    yield ""
    yield summary(calls)


def summary(calls: list[Told]) -> str:
    """All calls in a line."""
    kept = [c for c in calls if c["is_kept"]]
    costs = [c["cost"] for c in kept]
    price = "price unknown" if None in costs else f"made for {money(sum(costs))}"
    said = f"{len(kept):,} {'answer' if len(kept) == 1 else 'answers'} from the session, 0 calls now; {price}" if kept else "no answer of a model"
    return said + (f"; {len(calls) - len(kept):,} without a kept answer" if len(kept) < len(calls) else "")


def _step(number: int, step: Told) -> Iterator[str]:
    yield f"{number}. {in_line(step['describe'])}" + (f"  [{in_line(step['label'])}]" if step["label"].lower() not in step["describe"].lower() else "")
    if step["note"]:
        yield f"   {visible(step['note'])}"
    for n, row in enumerate(step["rows"]):
        if n and row["calls"]:
            yield ""
        if step["kind"] == "source":
            yield f"   row {row['row']:,}"
            yield from _columns(row["values"], "     ")
            continue
        for call in row["calls"]:
            yield from _call(call)
        if row["note"]:
            yield f"   {visible(row['note'])}"
        if row["error"] and not is_said(row):
            yield f"   ✗ failed   {_whole(row['error'], 14)}"
        elif row["values"] and not row["error"] and not _says(row):
            yield from _columns(row["values"], "   → ")
    if step["n_rows"] > len(step["rows"]) and (step["n_rows"] > 1 or not step["rows"]) and step["kind"] != "model":
        left = step["n_rows"] - len(step["rows"])
        if step["rows"]:
            yield f"   … and {left:,} more rows"
        elif step["n_rows"] > 1:
            yield f"   {step['n_rows']:,} rows"


def is_said(row: Told) -> bool:
    """Whether why a row failed is said of one of its calls."""
    return any(call["note"] == row["error"] for call in row["calls"] if not call["is_kept"])


def _says(row: Told) -> bool:
    """Whether a row's column is its answer as it came."""
    return bool(row["calls"]) and list(row["values"].values()) == [row["calls"][-1]["answer"]]


def _call(call: Told) -> Iterator[str]:
    for message in call["messages"]:
        yield f"   {in_line(message['role']):<10} {_whole(content_text(message['content']), 14)}"
    if call["text"] is not None:
        yield f"   {'text':<10} {_whole(call['text'], 14)}"
    if call["reasoning"]:
        yield f"   {'thoughts':<10} {_whole(call['reasoning'], 14)}"
    if not call["is_kept"]:
        yield f"   {'answer':<10} ✗ none: {_whole(call['note'] or '', 14)}"
    elif call["dimensions"] is not None:
        yield f"   {'answer':<10} a vector of {call['dimensions']:,} numbers"
    else:
        yield f"   {'answer':<10} {_whole(call['answer'] or '(nothing)', 14)}"
    if call["probabilities"] is not None:
        yield f"   {'likely':<10} {_whole(likely(call), 14)}"
    yield f"   {'':<10} {' · '.join(facts(call))}"


def likely(call: Told) -> str:
    """How likely the model found each label, the likeliest first."""
    of_each = sorted(call["probabilities"].items(), key=lambda pair: -pair[1])
    return " · ".join(f"{label} {share:.1%}" for label, share in of_each) + (f" ({call['outside']:.1%} on none of them)" if call["outside"] else "")


def facts(call: Told) -> list[str]:
    """Who answered, when, for how much: what is known, and what is not."""
    by = call["answered_by"]
    told = [in_line(call["model"]) + (f" (answered as {in_line(by)})" if by and by != call["model"] else ""), f"sample {call['sample']}"]
    told += [f"{name}={in_line(str(value))}" for name, value in call["sampling"].items()]
    if call["json_schema"] is not None:
        told.append("held to a schema")
    if call["is_kept"]:
        told.append(tokens(call))
        told.append("price unknown" if call["cost"] is None else money(call["cost"]))
        if call["finish"] != "stop":
            told.append(f"ended: {in_line(str(call['finish']))}")
        if call["seconds"] is not None:
            told.append(f"{call['seconds']:.3g} s" if call["seconds"] else "under 1 ms")
        told.append("tries not on record" if call["attempts"] is None else f"{call['attempts']} {'try' if call['attempts'] == 1 else 'tries'}")
        told.append(call["at"])
    return [*told, f"key {call['key']}"]


def tokens(call: Told) -> str:
    """The tokens of a call, those that the cache had and those of thoughts where there are some."""
    cached = f" ({call['tokens_cached']:,} cached)" if call["tokens_cached"] else ""
    thought = f" ({call['tokens_reasoning']:,} thoughts)" if call["tokens_reasoning"] else ""
    return f"{call['tokens_in']:,} {'token' if call['tokens_in'] == 1 else 'tokens'} in{cached}, {call['tokens_out']:,} out{thought}"


def content_text(content: Any) -> str:
    """A message's content: its text, or its parts as JSON, long ones (images) cut."""
    if isinstance(content, str):
        return content
    return json.dumps(content, ensure_ascii=False, default=str)


def _columns(values: Told, indent: str) -> Iterator[str]:
    width = min(20, max((len(in_line(name)) for name in values), default=0))
    for name, value in values.items():
        yield f"{indent}{in_line(name):<{width}}  {_in_line(value)}"


def _in_line(value: Any) -> str:
    text = in_line(value if isinstance(value, str) else "null" if value is None else json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= LINE else f"{text[: LINE - 1]}…"


def _whole(text: str, indent: int) -> str:
    """A text over several lines; of a very long one, the beginning."""
    more = f"\n… {len(text) - MOST_CHARS:,} more characters: .as_dict() has them" if len(text) > MOST_CHARS else ""
    return (visible(text[:MOST_CHARS]) + more).replace("\n", "\n" + " " * indent)
