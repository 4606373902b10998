"""Chats in training rows: templates, how many tokens a row has, and the settings of trainers that read chats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import SettingError, TrainingError
from dreamframe.models.base import setting
from dreamframe.models.local.chat_template import chat_template, closing_token, lost, read_in
from dreamframe.trainers.job import TrainJob, fit_length, leave_out, read_rows
from dreamframe.trainers.loading import load_tokenizer
from dreamframe.trainers.local import LocalTrainer
from dreamframe.trainers.odd_texts import once, remark
from dreamframe.trainers.tool_chats import TOOLS, as_templates_read, says_more, tools_in

SPEAKERS = {"prompt": "user", "completion": "assistant", "chosen": "assistant", "rejected": "assistant"}
SPOKEN = (*SPEAKERS, "messages")


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


class RefusedChatError(Exception):
    """A chat that the template refuses, by its position."""

    def __init__(self, position: int, said: str) -> None:
        super().__init__(said)
        self.position = position


def tokens(tokenizer: Any, rows: pl.DataFrame, *, limit: int | None = None, ends: bool = False, asks: bool = False) -> list[list[int]]:
    """The token ids of each row, its columns in sequence, cut to `limit`. `ends` closes texts with the end token, as a chat template closes chats.

    `asks` opens the answer after each chat, as where a model is asked. Raises RefusedChatError for a chat that the template refuses.
    """
    if any(isinstance(t, pl.List) for t in rows.dtypes):
        made = []
        told = rows[TOOLS].to_list() if TOOLS in rows.columns else [None] * rows.height
        parts = rows.drop(TOOLS, strict=False)
        more = any(map(says_more, parts.dtypes))
        for position, (row, tools) in enumerate(zip(parts.iter_rows(), told, strict=True)):
            chat = [m for part in row for m in part]
            chat = as_templates_read(chat) if more else chat
            given = {} if tools is None else {"tools": tools_in(tools)}
            try:
                made.append(tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False, add_generation_prompt=asks, **given)[:limit])
            except Exception as exc:  # a template is a program of the model's maker: it may refuse roles, orders, anything
                raise RefusedChatError(position, str(exc)) from exc
        return made
    texts: list[str] = rows.select(pl.concat_str(pl.all().cast(pl.String)).alias("text"))["text"].to_list()
    end = tokenizer.eos_token or ""
    closed = [t if t.endswith(end) else t + end for t in texts] if ends else texts
    return [ids[:limit] for ids in tokenizer(closed)["input_ids"]]


def refuse_losing(tokenizer: Any, who: str) -> None:
    """Raise TrainingError where the template leaves out what is to be learnt, or what it is to be learnt from."""
    left_out = lost(tokenizer, tokenizer.chat_template, "user", "assistant")
    if left_out:
        what = "the prompt" if "user" in left_out else "the answer"
        raise TrainingError(f"{who}: the chat template leaves out {what}: {tokenizer.chat_template[:120]!r}. Give another with chat_template=.")


@dataclass(frozen=True)
class ChatTrainer(LocalTrainer):
    """A trainer of a language model that reads prompts and answers, as text or as chats."""

    chat_template: str | bool | None = setting()  # None: the tokenizer's, where it has one; a template; False: raw text

    adds_start: ClassVar[bool] = False  # whether its library puts the start token before prompts that have none
    owned: ClassVar[Mapping[str, str]] = {**LocalTrainer.owned, "chat_template_path": "chat_template="}

    def chat_tokenizer(self, job: TrainJob, *, padding_side: str | None = None) -> Any:
        """The base's tokenizer with the chat template that was asked for."""
        tokenizer = load_tokenizer(self, job, padding_side=padding_side)
        if isinstance(self.chat_template, str):
            tokenizer.chat_template = chat_template(self.chat_template)
        if self.chat_template is False:
            tokenizer.chat_template = None  # it is saved like this: what was trained on raw texts is asked with raw texts
        if isinstance(tokenizer.chat_template, str):
            refuse_losing(tokenizer, self.label)
            if _reads_chats(job):
                self._end_as_the_template(tokenizer, job)
        return tokenizer

    def _end_as_the_template(self, tokenizer: Any, job: TrainJob) -> None:
        """Take the token that closes an answer in the template as the end token, so that the trained model is known to end with it."""
        closing = closing_token(tokenizer, tokenizer.chat_template)
        if closing is not None and closing != tokenizer.eos_token:
            ends = f"the chat template ends an answer with {closing!r} and the base with {tokenizer.eos_token!r}"
            job.note(f"{self.label}: {ends}; the trained model ends with both.")
            tokenizer.eos_token = closing

    def check(self, columns: Mapping[str, str], schema: pl.Schema, *, has_validation: bool = True) -> None:
        super().check(columns, schema, has_validation=has_validation)
        chats = [c for role, c in self.roles(columns, schema).items() if role in SPOKEN and isinstance(schema[c], pl.List)]
        if chats and self.chat_template is False:
            raise SettingError(f"{self.label}: chat_template=False learns raw texts, and {chats[0]!r} holds chats; leave it out, or give texts.")

    def identity_fields(self) -> Mapping[str, object]:
        seen = super().identity_fields()
        if self.chat_template is False:
            return {**seen, "saved_template": None}  # it was once saved with the base's template
        if isinstance(self.chat_template, str) and "system_prompt" in read_in(self.chat_template):  # it was once read as a template without one
            return {**seen, "chat_template": chat_template(self.chat_template)}
        return seen

    def chat_rows(self, path: Path | None, job: TrainJob, tokenizer: Any, limit: int, *sequences: Sequence[str], nullable: Sequence[str] = ()) -> Any:
        """The rows of a file as chats (or raw texts), with those over `limit` tokens treated as `too_long` says.

        Each of `sequences` names columns that the model reads one after the other, such as ("prompt", "chosen") and ("prompt", "rejected").
        """
        who = self.label if path == job.rows else f"{self.label} validation"
        rows = read_rows(path, job, who=who, nullable=nullable)
        if rows is None:
            return None
        rows = as_text(rows)
        if tokenizer.chat_template:
            speaking = {column: role for column, role in SPEAKERS.items() if column in rows.columns}
            rows = as_messages(rows, **(speaking if "prompt" in rows.columns else {}))
        is_chat = any(isinstance(rows.schema[c], pl.List) for c in rows.columns if c in SPOKEN)
        if is_chat and not tokenizer.chat_template:
            raise TrainingError(f"{who}: the rows hold chats, and the base has no chat template; give one: chat_template='### {{{{prompt}}}}\n### '.")
        rows = once(rows, tokenizer)
        remark(rows, tokenizer, is_chat=is_chat, who=who, job=job)
        read = [[c for c in s if c in rows.columns] for s in sequences or [rows.columns] if s[-1] in rows.columns]
        try:
            lengths = [max(n) for n in zip(*([len(ids) for ids in tokens(tokenizer, rows.select(c))] for c in read), strict=True)]
        except RefusedChatError as exc:
            raise TrainingError(f"{who}: the chat template refuses row {job.rows_at([exc.position], who=who)}: {exc}") from exc
        rows = fit_length(rows, lengths, limit=limit, policy=self.too_long, who=who, job=job)
        answers = any("prompt" in columns and len(columns) > 1 for columns in read)
        return self._answerable(rows, lengths, tokenizer, limit, who=who, job=job) if answers and rows.height == len(lengths) else rows

    def _answerable(self, rows: pl.DataFrame, lengths: Sequence[int], tokenizer: Any, limit: int, *, who: str, job: TrainJob) -> pl.DataFrame:
        """The rows without those whose prompt leaves no room for a token of the answer: once cut, there is nothing to learn in them."""
        long = [i for i, n in enumerate(lengths) if n >= limit - 1]
        if not long:
            return rows
        asked = tokens(tokenizer, rows[long].select("prompt"), asks=True)
        start = tokenizer.bos_token_id if self.adds_start else None
        full = [i for i, ids in zip(long, asked, strict=True) if len(ids) + (start is not None and ids[:1] != [start]) >= limit]
        if len(full) == rows.height:
            raise TrainingError(f"{who}: in every row the prompt alone fills the {limit} tokens; raise max_length or shorten the prompts.")
        return leave_out(rows, full, why="had nothing left to learn from when they were cut", who=who, job=job)


def _reads_chats(job: TrainJob) -> bool:
    """Whether the rows become chats: they have prompts, or hold messages."""
    schema = pl.read_ipc_schema(job.rows)
    return "prompt" in schema or any(isinstance(schema[c], pl.List) for c in schema if c in SPOKEN)
