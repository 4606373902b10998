"""A conversation of several turns, with images."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import ColumnNotFoundError, SchemaError, SettingError
from dreamframe.models.authority import Authority, lent
from dreamframe.models.request import Form, RowContext
from dreamframe.prompts import templates as template
from dreamframe.prompts.base import Prompt, written

ROLES = ("system", "user", "assistant")
MAGIC = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}  # first bytes → image type


@dataclass(frozen=True)
class Chat(Prompt):
    """Turns of (role, template), or of {"role": …, "content": …}; each template may read columns of the row.

    `images` names columns whose values go with the last user turn: bytes, URLs (http, https, data) or paths of files, which are read when the row is
    asked, or images of the datasets library (`Image`). An image's content is part of what was asked; a row whose image is not there, or is not an
    image, is a failed row.

    >>> talk = dr.Chat([("system", "Answer as a {role}."), ("user", "What is {x}?")])
    >>> df = dr.frame({"role": ["cook"], "x": ["tea"]})
    >>> df.prompt(dr.testing.Echo(), talk).collect()["answer"].to_list()
    ['What is tea?']
    """

    turns: tuple[tuple[str, str], ...]
    images: tuple[str, ...] = field(default=(), kw_only=True)
    authority: Authority | None = lent()  # what a plan that was read may show to a model

    form: ClassVar[Form] = "messages"

    def __init__(self, turns: Sequence[tuple[str, str] | Mapping[str, str]], *, images: Sequence[str] | str = (), authority: Authority | None = None) -> None:
        held = tuple((str(turn["role"]), str(turn["content"])) if isinstance(turn, Mapping) else (str(turn[0]), str(turn[1])) for turn in turns)
        object.__setattr__(self, "turns", held)
        object.__setattr__(self, "images", (images,) if isinstance(images, str) else tuple(images))
        object.__setattr__(self, "authority", authority)
        for role, text in held:
            if role not in ROLES:
                raise SettingError(f"Chat: role {role!r} is not one of {', '.join(map(repr, ROLES))}.")
            template.pieces(text, "Chat")
        if not held or held[-1][0] != "user":
            raise SettingError("Chat: the last turn must be the user's; the model writes the next one.")

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*(c for _, text in self.turns for c in template.columns(text)), *self.images]))

    @property
    def summary(self) -> str:
        last = self.turns[-1][1]
        return f"Chat({len(self.turns)} turns, {last[:40]!r}{', images' if self.images else ''})"

    def check(self, schema: pl.Schema, *, step: str) -> None:
        for _, text in self.turns:
            template.check(text, schema, step=step)
        for column in self.images:
            if column not in schema:
                raise ColumnNotFoundError(column, columns=schema.names(), step=step)
            if schema[column] not in (pl.Binary, pl.String) and not _is_image(schema[column]):
                raise SchemaError(f"{step}: images column {column!r} has type {schema[column]}; give bytes, URLs or paths.")

    async def rendered(self, rows: pl.DataFrame, ctx: RowContext) -> pl.Series:
        return written(rows.height, self._writer(rows), ctx)

    def reads_files(self, schema: pl.Schema) -> bool:
        return any(schema[c] == pl.String or _is_image(schema[c]) for c in self.images)

    def render(self, rows: pl.DataFrame) -> pl.Series:
        write = self._writer(rows)
        return pl.Series("prompt", [write(i) for i in range(rows.height)], dtype=pl.String)

    def _writer(self, rows: pl.DataFrame) -> Callable[[int], str | None]:
        """A function that writes the messages of the i-th row. It raises OSError or SchemaError for a value that is not an image."""
        columns = [template.render(text, rows).to_list() for _, text in self.turns]
        images = [rows.get_column(c) for c in self.images]
        return lambda i: self._row([c[i] for c in columns], [image_url(c[i], self.authority) for c in images])

    def _row(self, texts: list[str | None], images: list[str | None]) -> str | None:
        if any(v is None for v in (*texts, *images)):
            return None
        messages: list[dict[str, Any]] = [{"role": role, "content": text} for (role, _), text in zip(self.turns, texts, strict=True)]
        if images:
            parts = [{"type": "text", "text": messages[-1]["content"]}, *({"type": "image_url", "image_url": {"url": u}} for u in images)]
            messages[-1] = {"role": "user", "content": parts}
        return json.dumps(messages, ensure_ascii=False)

    def renamed(self, names: Mapping[str, str]) -> Chat:
        turns = [(role, template.renamed(text, names)) for role, text in self.turns]
        return Chat(turns, images=[names.get(c, c) for c in self.images], authority=self.authority)


def _is_image(dtype: Any) -> bool:
    """Whether values are images as the datasets library holds them: their bytes, or else the path of a file."""
    return isinstance(dtype, pl.Struct) and {f.name: f.dtype for f in dtype.fields} in ({"bytes": pl.Binary, "path": pl.String}, {"bytes": pl.Binary})


def image_url(value: bytes | str | Mapping[str, Any] | None, authority: Authority | None = None) -> str | None:
    """An image as the URL of a chat part: bytes and files as data URLs. Raises OSError for a file that cannot be read.

    Raises NotAllowedError for a file or an address that a plan that was read may not show: an address is fetched by the provider, with all that it tells.
    """
    if isinstance(value, Mapping):
        value = value["bytes"] if value["bytes"] is not None else value.get("path")
    if value is None:
        return None
    if isinstance(value, str):
        if authority is not None and not value.startswith("data:"):
            authority.path(value, who="Chat images")
        if value.startswith(("http://", "https://", "data:")):
            return value
        value = Path(value).read_bytes()
    kind = next((k for magic, k in MAGIC.items() if value.startswith(magic)), None)
    if kind is None:
        raise SchemaError("an image is neither PNG, JPEG, GIF nor WebP; convert it first.")
    return f"data:image/{kind};base64,{base64.b64encode(value).decode()}"
