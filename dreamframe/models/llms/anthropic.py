"""Anthropic's models, by the Messages API."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dreamframe.errors import SettingError
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.models.answer import clean
from dreamframe.models.api.batch_api import AnthropicBatches, BatchApi
from dreamframe.models.api.headers import check_key
from dreamframe.models.api.http import Http
from dreamframe.models.api.misplaced import put_right
from dreamframe.models.api.openai_format import count, encode, error_in, in_body, parsed, part, unreadable, word
from dreamframe.models.api.settings import ApiLLM
from dreamframe.models.api.structured import instruction, is_strictable, strict
from dreamframe.models.api.tool_calls import block_calls, blocks, offered
from dreamframe.models.api.wire import Dialect, Wire
from dreamframe.models.base import setting, steering
from dreamframe.models.request import Completion, Question, Request
from dreamframe.models.tools.turns import with_calls
from dreamframe.store.ends import LENGTH, STOP, TOOLS, end_of

TOKEN_VARIABLE = "ANTHROPIC_AUTH_TOKEN"
VERSION = "2023-06-01"  # of the API
MOST_TOKENS = 8192  # the API wants a number; smaller models say theirs, and are asked for that
NAMES_LIMIT = r"max_tokens: \d+ > (\d+)"
HAS_NOT = ("logit_bias", "presence_penalty", "frequency_penalty")


@dataclass(frozen=True)
class Anthropic(ApiLLM):
    """A model behind Anthropic's Messages API. Key: ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN; address: ANTHROPIC_BASE_URL, if any.

    A schema is asked for as an output format, or as a tool where the model has none. The system prompt is marked for Anthropic's prompt cache
    (`cache`), which makes a long one cheaper from the second row on. The API has no seed: `seed=` only keeps answers apart.
    Raises SettingError for sampling arguments that it does not have (logit_bias and the penalties).

    >>> dr.Anthropic("claude-sonnet-4-5", max_tokens=200).label
    'claude-sonnet-4-5'
    """

    effort: str | None = setting()  # "low", "medium", "high", …
    cache: bool = steering(True)  # whether the system prompt is marked for the provider's prompt cache

    provider: ClassVar[str] = "anthropic"
    has_batches: ClassVar[bool] = True
    address: ClassVar[str] = "https://api.anthropic.com"
    address_variable: ClassVar[str] = "ANTHROPIC_BASE_URL"
    key_variable: ClassVar[str] = "ANTHROPIC_API_KEY"
    dialect: ClassVar[Dialect] = Dialect(schemas=("strict", "tool", "text"), seed=None, most_tokens=MOST_TOKENS, names_limit=NAMES_LIMIT)

    def identity_fields(self) -> Mapping[str, object]:
        return {k: v for k, v in super().identity_fields().items() if k != "effort" or v is not None}

    def key(self) -> str | None:
        if self.api_key or os.environ.get(self.key_variable) or not self._token():
            return super().key()
        self.check_reach()
        check_key(self._token(), who=self.label, variable=TOKEN_VARIABLE)
        return None

    def auth(self, key: str | None) -> Mapping[str, str]:
        asks: dict[str, str] = {"x-api-key": key} if key else {"Authorization": f"Bearer {self._token()}"} if self._token() else {}
        return {"anthropic-version": VERSION, **asks}

    def pool_key(self) -> str:
        return f"{super().pool_key()} {fingerprint(self._token())}"

    def _token(self) -> str:
        """What the environment has where there is no key, as for Anthropic's own client; "" where it has none."""
        return os.environ.get(TOKEN_VARIABLE, "").strip()

    def no_tools(self) -> str | None:
        return None

    def batches(self, http: Http, place: str) -> BatchApi:
        return AnthropicBatches(http, self.url, place=place)

    def wire(self, question: Question, dialect: Dialect) -> Wire:
        return Messages(question, dialect, llm=self)


class Messages:
    """The bytes around the prompt for one question, and how to read what comes back."""

    path = "/v1/messages"

    def __init__(self, question: Question, dialect: Dialect, *, llm: Anthropic) -> None:
        self.question, self.dialect = question, dialect
        self._cache = llm.cache
        given = question.sampling.given()
        for name in HAS_NOT:
            if name in given:
                raise SettingError(f"{llm.label}: Anthropic's API has no {name}. Leave it out.")
        schema = json.loads(question.json_schema) if question.json_schema else None
        self._system = question.system or ""
        if schema is not None and dialect.schema == "text":
            self._system = f"{self._system}\n\n{instruction(encode(schema))}".strip()
        settings: dict[str, Any] = {"model": llm.model, "max_tokens": given.get("max_tokens", dialect.most_tokens)}
        settings |= {k: given[k] for k in ("temperature", "top_p") if k in given}
        if "stop" in given:
            settings["stop_sequences"] = list(given["stop"])
        settings |= self._format(schema, llm.effort) | ({"tools": offered(question.tools, "messages")} if question.tools else {})
        settings |= ({"stream": True} if dialect.stream != "no" else {})
        self._settings = {**settings, **question.sampling.extras()}
        self._head = encode({**self._settings, **self._system_block(self._system)})[:-1] + ',"messages":'

    @property
    def has_system(self) -> bool:
        return bool(self._system)

    def _format(self, schema: dict[str, Any] | None, effort: str | None) -> dict[str, Any]:
        config: dict[str, Any] = {"effort": effort} if effort is not None else {}
        mode = self.dialect.schema
        if schema is not None and (mode == "tool" or (mode == "strict" and not is_strictable(schema))):
            tool = {"name": "answer", "description": "Give the answer.", "input_schema": schema}
            return {"tools": [tool], "tool_choice": {"type": "tool", "name": "answer"}, **({"output_config": config} if config else {})}
        if schema is not None and mode == "strict":
            config["format"] = {"type": "json_schema", "schema": strict(schema)}
        return {"output_config": config} if config else {}

    def _system_block(self, system: str) -> dict[str, Any]:
        if not system:
            return {}
        return {"system": [{"type": "text", "text": system, **({"cache_control": {"type": "ephemeral"}} if self._cache else {})}]}

    def body(self, request: Request) -> bytes:
        if self.question.form != "messages":
            return f'{self._head}[{{"role":"user","content":{encode(request.prompt)}}}]}}'.encode()
        messages = json.loads(request.prompt)
        told = "\n\n".join(m["content"] for m in messages if m["role"] == "system")  # the API takes system messages only at the top
        talk = blocks([{**m, "content": parts_of(m["content"])} for m in messages if m["role"] != "system"])
        if not told:
            return f"{self._head}{encode(talk)}}}".encode()
        system = f"{self._system}\n\n{told}".strip()
        return encode({**self._settings, **self._system_block(system), "messages": talk}).encode()

    def read(self, body: bytes, *, place: str) -> Completion:
        found = parsed(body, place=place)
        if (error := error_in(found)) is not None:
            raise in_body(error, body, place=place)
        try:
            done = _message(found, has_tools=bool(self.question.tools))
            if self.question.tools:
                return with_calls(done, block_calls(found))
            if self.question.json_schema is None or (done.text and done.finish == STOP):
                return done
            return put_right(done, self.question, [b["input"] for b in found["content"] if b["type"] == "tool_use"])
        except (KeyError, TypeError, AttributeError) as exc:
            raise unreadable(exc, found, body, place=place, what="answer") from exc


def _message(found: Any, *, has_tools: bool = False) -> Completion:
    blocks, finish = found["content"], end_of(word(found["stop_reason"]))
    texts = [b["text"] for b in blocks if b["type"] == "text" and b.get("text") is not None]
    tools = [encode(b["input"]) for b in blocks if b["type"] == "tool_use" and b["name"] == "answer" and not has_tools]
    thoughts = [b.get("thinking") or "" for b in blocks if b["type"] in ("thinking", "redacted_thinking")]
    text: str | None = "".join(texts) if texts else None
    if tools:  # what was asked for as a tool's input is the answer; cut off, it comes closed as if it were whole
        text, finish = None if finish == LENGTH else tools[0], STOP if finish == TOOLS else finish
    if finish == "refusal" and text is None:
        text = (found.get("stop_details") or {}).get("explanation")
    usage = part(found, "usage")
    n_cached, n_written = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
    return Completion(
        clean(text),
        finish=finish,
        n_in=count(usage.get("input_tokens")) + n_cached + n_written,
        n_out=count(usage.get("output_tokens")),
        n_cached=n_cached,
        n_written=n_written,
        n_reasoning=count(part(usage, "output_tokens_details").get("thinking_tokens")),
        model=word(found.get("model")),
        thoughts=clean("".join(thoughts)) if thoughts else None,
    )


def parts_of(content: Any) -> Any:
    """Chat content as the Messages API names its parts."""
    if not isinstance(content, list):
        return content
    return [_image(p["image_url"]["url"]) if p["type"] == "image_url" else p for p in content]


def _image(url: str) -> dict[str, Any]:
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media, _, data = url.removeprefix("data:").partition(";base64,")
    return {"type": "image", "source": {"type": "base64", "media_type": media, "data": data}}
