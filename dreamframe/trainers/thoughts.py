"""Thoughts in the messages that a model learns from: whether its chat template shows them, and which tokens are theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import TrainingError
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.tool_chats import TOOLS, as_templates_read, tools_in

if TYPE_CHECKING:
    import datasets

THOUGHTS = ("reasoning_content", "thinking", "reasoning")  # what chat templates call them in a message
NOT_LEARNT = -100  # the label of a token that the loss does not count


def field_of_thoughts(dtype: object) -> str | None:
    """What the thoughts are called in a column of messages; None where they have none."""
    inner = getattr(dtype, "inner", None)
    names = {f.name for f in inner.fields} if isinstance(dtype, pl.List) and isinstance(inner, pl.Struct) else set()
    return next((name for name in THOUGHTS if name in names), None)


def need_shown(rows: pl.DataFrame, tokenizer: Any, *, who: str, job: TrainJob) -> None:
    """Raise TrainingError where the chat template leaves out all thoughts of the rows, and note how many it leaves out: some show those of the last turn
    alone."""
    name = field_of_thoughts(rows.schema.get("messages"))
    if name is None:
        return
    n = shown = 0
    for chat, tools in _chats(rows):
        n += sum(bool(m.get(name)) for m in chat)
        shown += len(_spans(chat, name, partial(tokenizer.apply_chat_template, tokenize=False, tools=tools)))
    if n and not shown:
        raise TrainingError(
            f"{who}: the messages have thoughts in {name!r}, and the chat template shows none of them, so that they would not be learnt. Give a template that "
            f"reads message.{name}: chat_template='…'; or leave the field out of the messages."
        )
    if shown < n:
        job.note(f"{who}: the chat template leaves out {n - shown:,} of {n:,} thoughts; many show those of the last turn alone.")


def masked(rows: pl.DataFrame, tokenizer: Any, *, template: str | None, assistant_only: bool) -> datasets.Dataset:
    """Rows of messages as tokens and labels: the thoughts are read and not learnt, and with `assistant_only` what others say neither."""
    import datasets

    name = field_of_thoughts(rows.schema["messages"]) or THOUGHTS[0]
    made: dict[str, list[list[int]]] = {"input_ids": [], "labels": []}
    for chat, tools in _chats(rows):
        show = partial(tokenizer.apply_chat_template, tools=tools, chat_template=template)
        hidden = _spans(chat, name, partial(show, tokenize=False))
        offsets = {"return_offsets_mapping": True}
        read = show(chat, tokenize=True, return_dict=True, return_assistant_tokens_mask=assistant_only, tokenizer_kwargs=offsets)
        counts = read["assistant_masks"] if assistant_only else [1] * len(read["input_ids"])
        taken = [not counted or _within(at, hidden) for counted, at in zip(counts, read["offset_mapping"], strict=True)]
        made["input_ids"].append(list(read["input_ids"]))
        made["labels"].append([NOT_LEARNT if out else token for token, out in zip(read["input_ids"], taken, strict=True)])
    return datasets.Dataset.from_dict(made)


def _chats(rows: pl.DataFrame) -> Iterator[tuple[list[dict[str, Any]], list[Any] | None]]:
    told = rows[TOOLS].to_list() if TOOLS in rows.columns else [None] * rows.height
    for chat, tools in zip(rows["messages"].to_list(), told, strict=True):
        yield as_templates_read(chat), tools_in(tools)


def _spans(chat: Sequence[dict[str, Any]], name: str, show: Callable[[Sequence[dict[str, Any]]], str]) -> list[tuple[int, int]]:
    """Where a template puts the thoughts of a chat: it is tried with marks in their place, since an answer may say what was thought. Those that it leaves
    out are left out."""
    marks = {i: f"qz{i}thoughtzq" for i, m in enumerate(chat) if m.get(name)}
    if not marks:
        return []
    text, tried = show(chat), show([{**m, name: marks[i]} if i in marks else m for i, m in enumerate(chat)])
    found, longer = list[tuple[int, int]](), 0
    for i, mark in marks.items():
        if (at := tried.find(mark)) >= 0:
            begin, thought = at + longer, chat[i][name]
            forms = (thought, thought.rstrip(), thought.lstrip(), thought.strip())  # as templates trim them
            end = begin + len(next((form for form in forms if text.startswith(form, begin)), thought))
            found.append((begin, end))
            longer += end - begin - len(mark)
    return found


def _within(token: Sequence[int], spans: Sequence[tuple[int, int]]) -> bool:
    """Whether a token (its first and last character) has a part of a span."""
    return any(token[0] < end and token[1] > begin for begin, end in spans)
