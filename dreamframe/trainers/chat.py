"""Chats in training rows: templates, how many tokens a row has, and the settings of trainers that read chats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import TrainingError
from dreamframe.models.base import setting
from dreamframe.models.local.chat_template import chat_template, lost, read_in
from dreamframe.trainers.job import TrainJob, fit_length, read_rows
from dreamframe.trainers.local import LocalTrainer

SPEAKERS = {"prompt": "user", "completion": "assistant", "chosen": "assistant", "rejected": "assistant"}


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
    return [len(ids) for ids in tokens(tokenizer, rows.select(columns))]


def tokens(tokenizer: Any, rows: pl.DataFrame, *, limit: int | None = None, ends: bool = False) -> list[list[int]]:
    """The token ids of each row, its columns in sequence, cut to `limit`. `ends` closes texts with the end token, as a chat template closes chats."""
    if any(isinstance(t, pl.List) for t in rows.dtypes):
        chats = [[m for part in row for m in part] for row in rows.iter_rows()]
        return [tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False)[:limit] for chat in chats]
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

    owned: ClassVar[Mapping[str, str]] = {**LocalTrainer.owned, "chat_template_path": "chat_template="}

    def chat_tokenizer(self, job: TrainJob, *, padding_side: str | None = None) -> Any:
        """The base's tokenizer with the chat template that was asked for."""
        from dreamframe.trainers.loading import load_tokenizer

        tokenizer = load_tokenizer(self, job, padding_side=padding_side)
        if isinstance(self.chat_template, str):
            tokenizer.chat_template = chat_template(self.chat_template)
        if isinstance(tokenizer.chat_template, str) and self.chat_template is not False:
            refuse_losing(tokenizer, self.label)
        return tokenizer

    def identity_fields(self) -> Mapping[str, object]:
        seen = super().identity_fields()
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
        if tokenizer.chat_template and self.chat_template is not False:
            speaking = {column: role for column, role in SPEAKERS.items() if column in rows.columns}
            rows = as_messages(rows, **(speaking if "prompt" in rows.columns else {}))
        read = [[c for c in s if c in rows.columns] for s in sequences or [rows.columns] if s[-1] in rows.columns]
        counts = [token_lengths(tokenizer, rows, *columns) for columns in read]
        return fit_length(rows, [max(n) for n in zip(*counts, strict=True)], limit=limit, policy=self.too_long, who=who, job=job)
