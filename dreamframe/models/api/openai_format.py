"""Requests and replies of the OpenAI protocol: chat, completions and responses, each a format that is compiled once for a question.

A row costs one JSON string and one joining of bytes. The order of the parts is the same in every request (system, messages), so that the provider's
own prefix cache helps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dreamframe.errors import BadReplyError, BadRequestError, SettingError
from dreamframe.models.answer import clean
from dreamframe.models.api.error_replies import ErrorReply, status_of
from dreamframe.models.api.first_token import chosen
from dreamframe.models.api.http import Reply
from dreamframe.models.api.misplaced import calls_of, put_right
from dreamframe.models.api.structured import instruction, is_strictable, strict
from dreamframe.models.api.tool_calls import chat_calls, offered, response_calls, response_items
from dreamframe.models.api.wire import Api, Dialect
from dreamframe.models.request import Completion, Question, Request
from dreamframe.models.tools.turns import with_calls
from dreamframe.store.ends import FILTERED, LENGTH, REFUSED, STOP, TOOLS, end_of

PATHS: Mapping[Api, str] = {"chat": "/chat/completions", "completions": "/completions", "responses": "/responses"}
MOST_TOKENS = 10**12
EXTRAS = ("tool_calls", "function_call", "annotations")  # of a message, that somebody may want
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
decode = json.JSONDecoder().raw_decode


class OpenAIFormat:
    """The bytes around the prompt for one question in one dialect, and how to read what comes back."""

    def __init__(self, question: Question, dialect: Dialect, *, model: str, more: Mapping[str, Any]) -> None:
        self.question, self.dialect = question, dialect
        self.path = PATHS[dialect.api]
        refuse_several(question.sampling.extras(), who=model)
        self._seed = question.sampling.seed if dialect.seed else None
        schema = json.loads(question.json_schema) if question.json_schema else None
        system = question.system or ""
        if schema is not None and (dialect.schema in ("object", "text") or dialect.api == "completions"):
            system = f"{system}\n\n{instruction(encode(schema))}".strip()
        self._merged = system if dialect.system == "user" or dialect.api == "completions" else ""
        self._system = "" if self._merged else system
        settings = {"model": model, **self._sampling(), **self._format(schema), **self._tools(model), **more}
        settings |= {**streaming(dialect), **question.sampling.extras()}
        self._head = encode(settings)[:-1] + self._opening()

    @property
    def has_system(self) -> bool:
        """Whether requests of this format have a message of the system's."""
        return bool(self._system)

    def _sampling(self) -> dict[str, Any]:
        given = self.question.sampling.given()
        out: dict[str, Any] = {k: given[k] for k in ("temperature", "top_p", "presence_penalty", "frequency_penalty") if k in given}
        if "max_tokens" in given:
            out["max_output_tokens" if self.dialect.api == "responses" else self.dialect.max_tokens] = given["max_tokens"]
        if "stop" in given:
            out["stop"] = list(given["stop"])
        if "logit_bias" in given:
            out["logit_bias"] = dict(given["logit_bias"])
        return out

    def _format(self, schema: dict[str, Any] | None) -> dict[str, Any]:
        mode = self.dialect.schema
        if schema is None or mode == "text" or self.dialect.api == "completions":
            return {}
        if mode == "object":
            made: dict[str, Any] = {"type": "json_object"}
        elif mode == "strict" and is_strictable(schema):
            made = {"name": "answer", "strict": True, "schema": strict(schema)}
        else:
            made = {"name": "answer", "strict": False, "schema": schema}
        if self.dialect.api == "responses":
            return {"text": {"format": {"type": "json_schema", **made} if mode != "object" else made}}
        return {"response_format": {"type": "json_schema", "json_schema": made} if mode != "object" else made}

    def _tools(self, model: str) -> dict[str, Any]:
        """What the model may call."""
        if not self.question.tools:
            return {}
        if self.dialect.api == "completions":
            raise BadRequestError(f"{model}: its server speaks the completions API alone, which has no tools")
        return {"tools": offered(self.question.tools, self.dialect.api)}

    def _opening(self) -> str:
        """The text between the settings and the row's own."""
        if self.dialect.api == "completions":
            return ',"prompt":'
        if self.dialect.api == "responses":
            return (f',"instructions":{encode(self._system)}' if self._system else "") + ',"input":'
        return ',"messages":[' + (encode({"role": "system", "content": self._system}) + "," if self._system else "")

    def body(self, request: Request) -> bytes:
        """One request."""
        own = self._messages(request.prompt) if self.question.form == "messages" else self._text(request.prompt)
        if self._seed is not None:  # samples of one request differ by their seed; the first has the user's own
            return f'{self._head}{own},"{self.dialect.seed}":{self._seed if request.sample == 0 else request.seed}}}'.encode()
        return f"{self._head}{own}}}".encode()

    def _text(self, prompt: str) -> str:
        text = f"{self._merged}\n\n{prompt}" if self._merged else prompt
        if self.dialect.api == "chat":
            return f'{{"role":"user","content":{encode(text)}}}]'
        return encode(text)

    def _messages(self, prompt: str) -> str:
        if self.dialect.api == "chat" and not self._merged:
            return prompt.strip()[1:]  # the head opened the list
        messages = json.loads(prompt)
        if self._merged:
            messages = merged(self._merged, messages)
        if self.dialect.api == "completions":
            return encode("\n\n".join(text_of(m.get("content")) or "" for m in messages))
        if self.dialect.api == "responses":
            return encode(response_items([{**m, "content": _response_parts(m["content"])} for m in messages]))
        return encode(messages)[1:]

    def read(self, body: bytes, *, place: str) -> Completion:
        """The answer in a reply with status 200. Raises BadReplyError, or what an error in the body means."""
        found = parsed(body, place=place)
        if (error := error_in(found)) is not None:
            raise in_body(error, body, place=place)
        try:
            done = _response(found) if self.dialect.api == "responses" else _choice(found)
            if self.question.tools:
                return with_calls(done, response_calls(found) if self.dialect.api == "responses" else chat_calls(first(found["choices"])))
            if self.question.labels:
                return chosen(done, found, self.question, api=self.dialect.api, place=place)
            return done if self.question.json_schema is None else self._put_right(done, found)
        except ErrorInReplyError as exc:
            raise in_body(exc.args[0], encode({"error": exc.args[0]}).encode(), place=place) from exc
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as exc:
            raise unreadable(exc, found, body, place=place, what="answer") from exc

    def _put_right(self, done: Completion, found: Any) -> Completion:
        """The answer of a model that was held to a schema, in its place."""
        if done.text and done.finish == STOP:
            return done
        if self.dialect.api == "responses":
            calls = [item.get("arguments") for item in found["output"] if item["type"] == "function_call"]
        else:
            calls = calls_of(first(found["choices"]).get("message") or {})
        return put_right(done, self.question, calls)


def refuse_several(extra: Mapping[str, Any], *, who: str) -> None:
    """Raise SettingError for settings that have several answers made of which one is kept: they would be paid for nothing."""
    for name in ("n", "best_of"):
        if extra.get(name) not in (None, 1):
            raise SettingError(f"{who}: extra={{{name!r}: {extra[name]!r}}} pays for answers that are not kept. Give n= to the verb: each sample is then kept.")


def streaming(dialect: Dialect) -> dict[str, Any]:
    """What asks for a streamed reply, where the server gives no other."""
    if dialect.stream == "no":
        return {}
    counts = dialect.stream == "counted" and dialect.api != "responses"  # which counts anyway
    return {"stream": True, **({"stream_options": {"include_usage": True}} if counts else {})}


class ErrorInReplyError(Exception):
    """What a gateway says of an answer that broke off."""


def first(choices: list[dict[str, Any]]) -> dict[str, Any]:
    """The choice that is the answer."""
    return min(choices, key=lambda c: c.get("index") or 0)


def _choice(found: Any) -> Completion:
    """The first choice of a chat or text completion."""
    choices = found["choices"]
    choice = choices[0] if len(choices) == 1 else first(choices)
    if choice.get("error"):
        raise ErrorInReplyError(choice["error"])
    extra: dict[str, Any] = {}
    finish, thoughts = word(choice.get("finish_reason")), None
    message = choice.get("message")
    if message is None and "text" not in choice and end_of(finish) in (FILTERED, REFUSED, LENGTH):
        message = {}  # nothing was said, and it is known why
    if message is not None:
        text, thoughts, refusal = said(message)
        if refusal:
            text, finish = refusal, REFUSED
        if not message.keys().isdisjoint(EXTRAS):
            extra = {k: message[k] for k in EXTRAS if message.get(k)}
        if text is None and ("tool_calls" in extra or "function_call" in extra) and finish in ("", "stop"):
            finish = TOOLS  # a call that was asked for ends with "stop"
    else:
        text = choice["text"]
    if choice.get("logprobs"):
        extra["logprobs"] = choice["logprobs"]
    if text is not None and not isinstance(text, str):
        raise TypeError(f"the content is a {type(text).__name__}")
    usage = part(found, "usage")
    read, made = part(usage, "prompt_tokens_details"), part(usage, "completion_tokens_details")
    return Completion(
        clean(text),
        finish=finish,
        n_in=count(usage.get("prompt_tokens")),
        n_out=count(usage.get("completion_tokens")),
        n_cached=count(read.get("cached_tokens") or usage.get("prompt_cache_hit_tokens")),
        n_reasoning=count(made.get("reasoning_tokens")),
        n_written=count(read.get("cache_write_tokens")),
        model=word(found.get("model")),
        extra=clean(encode(extra)) if extra else None,
        thoughts=clean(thoughts),
    )


def _response(found: Any) -> Completion:
    """The message of a response, its parts joined."""
    status, finish = found.get("status"), part(found, "incomplete_details").get("reason")
    if status not in ("completed", "incomplete", None):
        raise ValueError(f"status {status!r}")
    kinds = {kind: [item for item in found["output"] if item["type"] == kind] for kind in ("message", "reasoning", "function_call")}
    asides = [item for item in kinds["message"] if item.get("phase") == "commentary"]  # what it says on its way to the answer
    answers = [item for item in kinds["message"] if item not in asides]
    parts = [part for item in answers for part in item["content"] or ()]
    texts = [p["text"] for p in parts if p["type"] == "output_text" and p.get("text") is not None]
    refusals = [p["refusal"] for p in parts if p["type"] == "refusal"]
    thoughts = [p["text"] for item in kinds["reasoning"] for p in (*(item.get("summary") or ()), *(item.get("content") or ()))]
    thoughts += [p["text"] for item in asides for p in item["content"] or () if p.get("text") is not None]
    if not parts and kinds["function_call"]:
        finish = finish or TOOLS
    if "incomplete" in (status, *(item.get("status") for item in answers)):
        finish = finish or "incomplete"  # and nobody says why
    usage = part(found, "usage")
    return Completion(
        clean("".join(refusals or texts)) if refusals or texts else None,
        finish=REFUSED if refusals else word(finish),
        n_in=count(usage.get("input_tokens")),
        n_out=count(usage.get("output_tokens")),
        n_cached=count(part(usage, "input_tokens_details").get("cached_tokens")),
        n_written=count(part(usage, "input_tokens_details").get("cache_write_tokens")),
        n_reasoning=count(part(usage, "output_tokens_details").get("reasoning_tokens")),
        model=word(found.get("model")),
        thoughts=clean("\n\n".join(thoughts)) if thoughts or kinds["reasoning"] else None,
    )


def said(message: dict[str, Any]) -> tuple[Any, str | None, str | None]:
    """The text of a chat message, its thoughts and its refusal, wherever the server puts them: None for what is not there."""
    content, refusal = message.get("content"), message.get("refusal")
    thoughts = message.get("reasoning_content") or message.get("reasoning") or None
    if isinstance(content, list):
        texts = [p["text"] for p in content if p.get("type", "text") in ("text", "output_text") and p.get("text") is not None]
        refusal = refusal or "".join(p["refusal"] for p in content if p.get("type") == "refusal")
        inner = [text_of(p["thinking"]) for p in content if p.get("type") == "thinking"]
        content, thoughts = "".join(texts) if texts else None, thoughts or "\n\n".join(inner) or None
    if isinstance(content, str) and content.startswith("<thought>") and part(part(message, "extra_content"), "google").get("thought"):
        inner_text, _, content = content.removeprefix("<thought>").partition("</thought>")  # Gemini's compatible endpoint says so beside the message
        content, thoughts = content.lstrip(), thoughts or inner_text.strip()
    return content, thoughts if thoughts is None or isinstance(thoughts, str) else encode(thoughts), refusal or None


def error_in(found: Any) -> Any:
    """The error that a reply with status 200 is, as routers and older servers send it; None where it is not an error."""
    if not isinstance(found, dict):
        return None
    error = found.get("error")
    if error and not (isinstance(error, dict) and not any(error.values())):
        return error
    return found if found.get("object") == "error" or (found.get("type") == "error" and "content" not in found) else None


def unreadable(exc: Exception, found: Any, body: bytes, *, place: str, what: str) -> BadReplyError:
    """The error of a reply with status 200 that is not as it should be, with the server's own words where it has some."""
    held = found if isinstance(found, dict) else {}
    words = next((f" ({str(held[k])[:300]})" for k in ("message", "detail", "msg", "error_msg") if held.get(k)), "")
    return BadReplyError(f"{place}: the reply holds no {what}{words}: {type(exc).__name__}: {exc}", status=200, text=shown(body))


def in_body(error: Any, body: bytes, *, place: str) -> Exception:
    """An error that came with status 200, as routers send them."""
    return ErrorReply(Reply(status_of(error), {}, body)).error(place=place)


def text_of(content: Any) -> Any:
    """A message's text, whether it is a string or a list of parts."""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content


def merged(system: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with the system prompt at the head of the first user message."""
    out = [dict(m) for m in messages]
    first = next((m for m in out if m["role"] == "user"), None)
    if first is None:
        return [{"role": "user", "content": system}, *out]
    content = first["content"]
    first["content"] = [{"type": "text", "text": system}, *content] if isinstance(content, list) else f"{system}\n\n{content}"
    return out


def _response_parts(content: Any) -> Any:
    """Chat content as the responses API names its parts."""
    if not isinstance(content, list):
        return content
    return [
        {"type": "input_text", "text": p["text"]}
        if p["type"] == "text"
        else {"type": "input_image", "image_url": p["image_url"]["url"]}
        if p["type"] == "image_url"
        else p
        for p in content
    ]


def parsed(body: bytes, *, place: str) -> Any:
    """The JSON of a reply with status 200. Raises BadReplyError."""
    try:
        found, end = decode(text := body.decode())
        if end == len(text):  # most are: json.loads looks at the encoding and for spaces at either end, which costs it as much again
            return found
    except (ValueError, RecursionError):
        pass  # in the words of what reads it whole
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise BadReplyError(f"{place}: the reply is not JSON: {exc}", status=200, text=shown(body)) from exc


def count(value: Any) -> int:
    """A number of tokens, as a server tells it; 0 for what is not a number, since the answer is good without."""
    if not value:
        return 0
    if type(value) is int and 0 <= value <= MOST_TOKENS:
        return value
    return int(value) if isinstance(value, int | float) and 0 <= value <= MOST_TOKENS and value == int(value) else 0


def part(whole: dict[str, Any], name: str) -> dict[str, Any]:
    """An object inside a reply; an empty one where there is none."""
    found = whole.get(name)
    return found if isinstance(found, dict) else {}


def word(value: Any) -> str:
    """A name that a server tells; whatever it is, it can be stored."""
    if type(value) is str and value.isascii():
        return value
    return clean(str(value)) or "" if value else ""


def shown(body: bytes) -> str:
    """What a server said, cut for a message."""
    return body[:2000].decode("utf-8", "replace")
