"""Chats in training rows: templates, and how many tokens a row has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

# A template of one prompt, such as "### Instruction:\n{{prompt}}\n\n### Response:\n", as a chat template. {{ '' }} keeps the newlines beside the tags.
WRAPPED = (
    "{%% for message in messages %%}{%% if message['role'] == 'user' %%}{%% set prompt = message['content'] %%}{{ '' }}%s{{ '' }}"
    "{%% elif message['role'] == 'system' %%}{{ message['content'] + '\\n\\n' }}"
    "{%% else %%}{%% generation %%}{{ message['content'] + eos_token }}{%% endgeneration %%}{%% endif %%}{%% endfor %%}"
)


def chat_template(template: str) -> str:
    """A template over `messages` as it is; one over `prompt` made into one, so that the trained model is asked as it was trained."""
    return template if "messages" in template else WRAPPED % template


def as_messages(rows: pl.DataFrame, **roles: str) -> pl.DataFrame:
    """Text columns as one-message chats: `as_messages(rows, prompt="user", completion="assistant")`. Lists stay as they are."""
    return rows.with_columns(
        pl.concat_list(pl.struct(pl.lit(role).alias("role"), pl.col(column).cast(pl.String).alias("content"))).alias(column)
        for column, role in roles.items()
        if column in rows.columns and not isinstance(rows.schema[column], pl.List)
    )


def as_text(rows: pl.DataFrame) -> pl.DataFrame:
    """Categories and enums as plain strings."""
    return rows.with_columns(pl.col(c).cast(pl.String) for c, t in rows.schema.items() if isinstance(t, pl.Enum | pl.Categorical))


def token_lengths(tokenizer: Any, rows: pl.DataFrame, *columns: str) -> list[int]:
    """Tokens of each row, its columns in sequence: one chat if they hold messages, else one text."""
    picked = rows.select(columns)
    if any(isinstance(t, pl.List) for t in picked.dtypes):
        chats = [[m for part in row for m in part] for row in picked.iter_rows()]
        return [len(tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False)) for chat in chats]
    texts: Sequence[str] = picked.select(pl.concat_str(pl.all().cast(pl.String)).alias("text"))["text"].to_list()
    return [len(ids) for ids in tokenizer(list(texts))["input_ids"]]
