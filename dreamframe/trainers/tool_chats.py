"""Chats with calls of tools or thoughts, as chat templates read them: messages have the fields that they use, arguments are objects, tools are a list."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import datasets

TOOLS = "tools"  # the column of what the assistant may call, as JSON text


def says_more(dtype: object) -> bool:
    """Whether a column holds messages with further fields than role and content, such as calls of tools and thoughts."""
    inner = getattr(dtype, "inner", None)
    return isinstance(dtype, pl.List) and isinstance(inner, pl.Struct) and {f.name for f in inner.fields} > {"role", "content"}


def as_templates_read(chat: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages of a chat without their nulls: templates ask whether a field is there. What a model wrote in the place of arguments stays that text."""
    made = []
    for message in chat:
        told = {name: value for name, value in message.items() if value is not None}
        if calls := told.pop("tool_calls", None):
            told["tool_calls"] = [_call(call) for call in calls]
        made.append({"role": told.pop("role", None), "content": told.pop("content", ""), **told})
    return made


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in call.items() if value is not None}
    function = dict(told.get("function") or {})
    if isinstance(arguments := function.get("arguments"), str):
        try:
            read = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            read = arguments
        function["arguments"] = read
    return {**told, "function": function}


def tools_in(text: str | None) -> list[Any] | None:
    """What stands in the column of tools."""
    return (json.loads(text) or None) if text else None


def in_json(made: datasets.Dataset, rows: pl.DataFrame) -> datasets.Dataset:
    """A data set whose chats are read as `as_templates_read` gives them: structs of Arrow would have every field in every message."""
    import datasets

    for column, dtype in rows.schema.items():
        if says_more(dtype):
            texts = [None if chat is None else [json.dumps(m, ensure_ascii=False) for m in as_templates_read(chat)] for chat in rows[column].to_list()]
            features = datasets.Features({column: datasets.List(datasets.Value("string"))})
            held = datasets.Dataset.from_dict({column: texts}, features=features).cast(datasets.Features({column: datasets.List(datasets.Json())}))
            made = datasets.concatenate_datasets([made.remove_columns(column), held], axis=1)
    return made
