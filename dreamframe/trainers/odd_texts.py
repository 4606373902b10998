"""Texts that are learnt otherwise than they look: start and end tokens that would stand twice, chats inside of prompts or without an answer, empty answers."""

from __future__ import annotations

from typing import Any

import polars as pl

from dreamframe.errors import listed
from dreamframe.trainers.job import TrainJob

STARTS = ("prompt", "text", "chosen", "rejected", "completion")  # the first of a row that is there begins what the model reads
ENDS = ("text", "completion", "chosen", "rejected")
ASSISTANT = "assistant"
ANSWERS = ("completion", "chosen")


def once(rows: pl.DataFrame, tokenizer: Any) -> pl.DataFrame:
    """Raw texts without the start token that the tokenizer adds, and without blanks behind the end token: trainers then see that it is there."""
    raw = [c for c, t in rows.schema.items() if t == pl.String]
    start, end = _added_start(tokenizer), tokenizer.eos_token
    heads = [c for c in raw if c in (STARTS[:2] if {"prompt", "text"} & set(rows.columns) else STARTS)]
    if start:
        rows = rows.with_columns(pl.col(c).str.strip_prefix(start) for c in heads)
    if end:
        bare = {c: pl.col(c).str.strip_chars_end() for c in raw if c in ENDS}
        rows = rows.with_columns(pl.when(text.str.ends_with(end)).then(text).otherwise(pl.col(c)).alias(c) for c, text in bare.items())
    return rows


def _added_start(tokenizer: Any) -> str | None:
    """The start token, where the tokenizer puts it before every text by itself."""
    ids = tokenizer("a")["input_ids"]
    return tokenizer.bos_token if tokenizer.bos_token_id is not None and ids[:1] == [tokenizer.bos_token_id] else None


def remark(rows: pl.DataFrame, tokenizer: Any, *, is_chat: bool, who: str, job: TrainJob) -> None:
    """Note the rows whose texts hold the chat template's own tokens, are chats as JSON, or whose answers are empty."""
    texts = {c: _text(rows, c) for c in rows.columns if c in {*STARTS, "messages"}}
    if is_chat and (own := _own_tokens(tokenizer)):
        held = rows.select(pl.any_horizontal(t.str.contains_any(own) for t in texts.values()).alias("held"))["held"].arg_true().to_list()
        if held:
            job.note(
                f"{who}: {len(held)} of {rows.height} rows hold tokens of the chat template in their texts (rows {job.rows_at(held, who=who)}), and the "
                "template is laid around them once more; give texts that are whole chats already as text=, or use chat_template=False."
            )
    if "prompt" in texts:
        json = rows.select(texts["prompt"].str.contains(r'^\s*\[\s*\{\s*"(role|content)"\s*:').alias("json"))["json"].arg_true().to_list()
        if json:
            job.note(
                f"{who}: {len(json)} of {rows.height} prompts are chats as JSON, and were learnt as that text (rows {job.rows_at(json, who=who)}); "
                "make lists of messages of them with .str.json_decode(…)."
            )
    if "messages" in rows.columns:
        roles = pl.col("messages").list.eval(pl.element().struct.field("role").cast(pl.String))
        unanswered = rows.select((~roles.list.contains(ASSISTANT)).alias("alone"))["alone"].arg_true().to_list()
        if unanswered:
            seen = listed(rows[unanswered].select(roles.explode().unique().sort()).to_series().to_list(), most=4)
            job.note(
                f"{who}: {len(unanswered)} of {rows.height} rows hold no turn of {ASSISTANT!r}, which is what the model is asked for later; their roles are "
                f"{seen} (rows {job.rows_at(unanswered, who=who)}). Rename them to 'user' and {ASSISTANT!r}, or leave such rows out."
            )
    for column in ANSWERS:
        if column in texts:
            empty = rows.select((texts[column].str.strip_chars() == "").alias("empty"))["empty"].arg_true().to_list()
            if empty:
                which = job.rows_at(empty, who=who)
                job.note(f"{who}: {len(empty)} of {rows.height} rows have an empty {column}: from them it learns to say nothing (rows {which}).")


def _text(rows: pl.DataFrame, column: str) -> pl.Expr:
    """A column as text: of a chat, the contents of its messages."""
    dtype = rows.schema[column]
    if not isinstance(dtype, pl.List):
        return pl.col(column).cast(pl.String)
    content = {f.name: f.dtype for f in getattr(dtype.inner, "fields", ())}.get("content")
    if content != pl.String:
        return pl.lit("…")  # parts of other kinds
    return pl.col(column).list.eval(pl.element().struct.field("content").fill_null("")).list.join("\n")


def _own_tokens(tokenizer: Any) -> list[str]:
    """The special tokens that the chat template writes."""
    template = tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else ""
    return [t.content for t in tokenizer.added_tokens_decoder.values() if t.special and len(t.content) > 2 and t.content in template]
