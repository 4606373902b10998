"""What a server takes, seen in what it refused and remembered as long as the client lives: no table of model names decides it."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

from dreamframe.models.api.error_replies import ErrorReply
from dreamframe.models.api.wire import Api, Dialect, Wire
from dreamframe.models.request import Question

REFUSES = (
    *("must be one of", "not available", "unavailable", "not implemented", "does not accept", "no support", "unsupported"),
    *("not supported", "does not support", "unknown", "unrecognized", "unexpected", "not permitted", "not allowed", "invalid", "extra"),
)
ASKS_FOR_JSON = ("response_format", "text.format", "json_object", "schema", "output_config", "output_format", "structured output", "tool")
NAMES_IT = ("response_format", "text.format", "json_schema", "json schema", "output_config", "output_format", "structured output", "grammar", "guided_json")
"""What a server calls the way to ask for JSON, in words that mean nothing else."""
STREAMS = re.compile(
    r"only\b.{0,25}\bstream|\bstream.{0,30}(must|needs?|has)\b.{0,12}(true|enabled)|\bstream\w*.{0,20}(required|mandatory|to true)"
    r"|enable.{0,25}\bstream|\bnon-?stream"
)
"""How servers say that they only stream."""
DISPENSABLE = {"encoding_format": ("encoding_format", "base64"), "dimensions": ("dimensions", "matryoshka")}  # of an embedder, and what refusals call them


class Adapted:
    """Dialects by model, and by question where a server refused one schema."""

    def __init__(self, first: Dialect) -> None:
        self._first = first
        self._models: dict[str, Dialect] = {}
        self._apis: dict[str, Api] = {}
        self._schemas: dict[str, str] = {}  # question digest → the schema mode for it

    def dialect(self, model: str, question: Question) -> Dialect:
        """What to speak with a model about a question."""
        known = self._models.get(model, self._first)
        mode = self._schemas.get(question.digest) if question.json_schema else None
        return replace(known, schema=mode) if mode else known

    def api(self, model: str, asked: Api) -> Api:
        """The API that the user chose, unless the server named another."""
        return self._apis.get(model, asked)

    def adapt(self, wire: Wire, reply: ErrorReply) -> bool:
        """Speak otherwise from now on, as this error reply to a request of this wire asks. False if it does not say how: then it is the row's error."""
        if reply.status >= 500 and not _names_schemas(reply, wire):
            return False  # its own fault
        model = str(getattr(wire.question.llm, "model", ""))
        now = self.dialect(model, wire.question)
        if wire.dialect.api != self.api(model, wire.dialect.api) or replace(now, api=wire.dialect.api) != wire.dialect:
            return True  # another request was refused before this one came back, and this one did not yet know of it
        words = reply.words.lower()
        if (api := _api(words, wire.dialect.api)) is not None:
            self._apis[model] = api
            return True
        found = _streamed(words, wire) or _without(words, wire) if reply.status < 500 else _less_firm(wire.dialect)
        if found is None:
            return False
        known = self._models.get(model, self._first)
        if found.schema != now.schema and "invalid" in words:  # this one schema is too much for the server, not every one
            self._schemas[wire.question.digest] = found.schema
        elif found.schema != now.schema:
            self._schemas.pop(wire.question.digest, None)
            self._models[model] = replace(known, schema=found.schema)
        else:
            self._models[model] = replace(found, schema=known.schema)
        return True


def _api(words: str, now: Api) -> Api | None:
    if now == "chat" and "v1/responses" in words:
        return "responses"
    if now == "chat" and ("v1/completions" in words or "not a chat model" in words):
        return "completions"
    return None


def _without(words: str, wire: Wire) -> Dialect | None:
    """The dialect with what these words refuse left out; None if they speak of something else."""
    now, sampling = wire.dialect, wire.question.sampling
    if sampling.max_tokens is not None and now.max_tokens == "max_tokens" and "max_completion_tokens" in words:
        return replace(now, max_tokens="max_completion_tokens")
    if sampling.max_tokens is None and (most := _most_tokens(words, now)) is not None:
        return replace(now, most_tokens=most)
    if not any(word in words for word in REFUSES):
        return None
    if wire.question.form == "input":
        refused = [name for name, called in DISPENSABLE.items() if name not in now.refused and any(word in words for word in called)]
        return replace(now, refused=(*now.refused, *refused)) if refused else None
    if wire.question.json_schema is not None and any(w in words for w in ASKS_FOR_JSON):
        return _less_firm(now)
    if now.system == "system" and ("system" in words or "developer instruction" in words) and ("role" in words or "instruction" in words or "message" in words):
        return replace(now, system="user") if wire.has_system else None
    if sampling.seed is not None and now.seed and now.seed in words:
        warnings.warn("the server takes no seed; answers are kept all the same, but another server would answer differently", stacklevel=2)
        return replace(now, seed=None)
    return None


def _streamed(words: str, wire: Wire) -> Dialect | None:
    """The dialect that has replies streamed, where a server gives no others, and then without counting, where it does not know how to."""
    now = wire.dialect
    if now.stream == "counted" and ("stream_options" in words or "include_usage" in words):
        return replace(now, stream="bare")
    can = now.stream == "no" and "counted" in now.streams and wire.question.form != "input"
    return replace(now, stream="counted") if can and STREAMS.search(words) else None


def _most_tokens(words: str, now: Dialect) -> int | None:
    """A limit of the model below the one that it was asked with, as its provider words it."""
    if now.most_tokens is None or now.names_limit is None or (known := re.search(now.names_limit, words)) is None:
        return None
    return int(known[1]) if int(known[1]) < now.most_tokens else None


def _names_schemas(reply: ErrorReply, wire: Wire) -> bool:
    """Whether a server that failed speaks of the way it was asked for JSON."""
    words = reply.message.lower()
    return wire.question.json_schema is not None and any(name in words for name in NAMES_IT)


def _less_firm(now: Dialect) -> Dialect | None:
    """The dialect that asks for JSON in the next looser way."""
    further = now.schemas[now.schemas.index(now.schema) + 1 :]
    return replace(now, schema=further[0]) if further else None
