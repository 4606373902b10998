"""One conversation of a step: whose turn it is, what is asked and called, and when it ends. Each turn and each result is a kept answer."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from dreamframe.errors import AnswerError, TruncatedError
from dreamframe.models.answer import usable
from dreamframe.models.request import Failure, Question, RowContext
from dreamframe.models.tools.mcp import McpTool
from dreamframe.models.tools.tool import Tool
from dreamframe.models.tools.turns import Call, calls_of, message_of
from dreamframe.plan.aside import aside
from dreamframe.store.ends import LENGTH, TOOLS

Message = dict[str, Any]
Offered = Tool | McpTool
NOT_READ = "the arguments are not a JSON object"


class FailedTurnError(Exception):
    """A turn that has no answer, as the failure of its row."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class NotAskedError(Exception):
    """A turn that was not asked, in a run that only looks."""


@dataclass(kw_only=True)
class Rules:
    """What is the same for all conversations of a step."""

    assistant: Question
    user: Question | None
    tools: Mapping[str, tuple[Offered, Question]]
    max_turns: int  # of the assistant
    until: str | Callable[[list[Message]], Any] | None
    until_tool: str | None
    reasoning: str | None = None  # what the assistant's thoughts are called in its messages; None: they are left out
    counted: dict[str, int] = field(default_factory=lambda: {"calls": 0, "errors": 0})  # of tools, in all rows


class Talk:
    """The conversation of one row."""

    def __init__(self, rules: Rules, ctx: RowContext, *, messages: Sequence[Message], told: str | None, opening: str, ordinal: int) -> None:
        self.messages = [dict(m) for m in messages]
        self._rules, self._ctx, self._told, self._ordinal = rules, ctx, told, ordinal
        self._chain = hashlib.sha256(json.dumps([opening, ordinal]).encode()).hexdigest()  # which row it is, and what was called in it so far
        self._n_turns = 0
        self._keys: tuple[bytes, ...] = ()

    async def held(self) -> list[Message]:
        """The messages, when the conversation has ended. Raises FailedTurnError."""
        rules = self._rules
        while True:
            if self.messages and self.messages[-1]["role"] in ("user", "tool"):
                if self._n_turns == rules.max_turns:
                    return self.messages
                called = await self._assistant()
                if await self._is_over(called) or (not called and (rules.user is None or self._n_turns == rules.max_turns)):
                    return self.messages
            else:
                self.messages.append({"role": "user", "content": await self._user()})
                if await self._is_over(()):
                    return self.messages

    async def _is_over(self, called: Sequence[Call]) -> bool:
        """Whether what was just said, or called, ends it."""
        rules = self._rules
        if rules.until_tool is not None and any(c.name == rules.until_tool for c in called):
            return True
        if isinstance(rules.until, str):
            said = self.messages[-1 - len(called)].get("content")
            return rules.until in (said or "")
        if rules.until is None:
            return False
        ends, seen = rules.until, json.loads(json.dumps(self.messages))
        try:
            return bool(await aside(lambda: ends(seen)))
        except Exception as exc:
            raise self._failed(exc, "until=") from exc

    # Turns

    async def _assistant(self) -> list[Call]:
        """The assistant's turn, and the results of what it calls."""
        rules = self._rules
        self._n_turns += 1
        text, finish, thoughts = await self._said(rules.assistant, self.messages, "the assistant")
        thought = {rules.reasoning: thoughts} if rules.reasoning is not None else {}
        if finish != TOOLS or not rules.tools:
            self.messages.append({"role": "assistant", "content": self._usable(text, finish, rules.assistant, "the assistant"), **thought})
            return []
        try:
            message = message_of(text or "")
            calls = _told_apart(calls_of(message), self._n_turns)
        except (ValueError, KeyError, TypeError) as exc:
            raise self._failed(AnswerError("the model ended with a call of tools, and called none", text=text), "the assistant") from exc
        held = [{"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in calls]
        self.messages.append({"role": "assistant", "content": message.get("content"), "tool_calls": held, **thought})
        chain = self._chain
        results = await asyncio.gather(*(self._called(call, n, chain) for n, call in enumerate(calls)))
        self._chain = hashlib.sha256("\n".join([chain, *(key for key, _ in results)]).encode()).hexdigest()
        self.messages += [{"role": "tool", "content": said, "tool_call_id": c.id, "name": c.name} for c, (_, said) in zip(calls, results, strict=True)]
        return calls

    async def _user(self) -> str:
        """What the simulated user says: to it, the assistant is the user of the conversation, and tools are not heard of."""
        rules = self._rules
        assert rules.user is not None
        spoken = [m for m in self.messages if m["role"] in ("user", "assistant") and isinstance(m.get("content"), str) and m["content"]]
        turned = [{"role": "assistant" if m["role"] == "user" else "user", "content": m["content"]} for m in spoken]
        text, finish, _ = await self._said(rules.user, [{"role": "user", "content": self._told}, *turned], "the simulated user")
        return self._usable(text, finish, rules.user, "the simulated user")

    def _usable(self, text: str | None, finish: str, question: Question, who: str) -> str:
        """The text of a turn. Raises FailedTurnError where it has none, or where nobody chose that it is cut off."""
        limit = question.sampling.max_tokens
        try:
            said = usable(text, finish, max_tokens=limit)
            if finish == LENGTH and limit is None:
                raise TruncatedError("the model's own limit cut the answer off; pass max_tokens= to choose one", text=text)
        except AnswerError as exc:
            raise self._failed(exc, who) from exc
        return said

    async def _said(self, question: Question, messages: Sequence[Message], who: str) -> tuple[str | None, str, str | None]:
        apart = ("name", self._rules.reasoning)  # results go by the id of the call, and thoughts are the assistant's own
        asked = [{k: v for k, v in m.items() if k not in apart} for m in messages]
        return await self._ask(question, json.dumps(asked, ensure_ascii=False), 0 if question.sampling.is_greedy else self._ordinal, who)

    async def _ask(self, question: Question, prompt: str, sample: int, who: str) -> tuple[str | None, str, str | None]:
        replies = await self._ctx.ask(question, pl.Series("prompt", [prompt], dtype=pl.String), [sample])
        if replies.failures:
            failure = replies.failures[0]
            raise FailedTurnError(failure._replace(message=f"{self._where(who)}: {failure.message}"))
        text, _, finish = replies.answers.row(0)
        if finish is None:
            raise NotAskedError
        self._keys = replies.keys_of(0)
        return text, finish, replies.thoughts[0] if replies.thoughts else None

    def _failed(self, exc: Exception, who: str) -> FailedTurnError:
        failure = Failure.of(exc, request=json.dumps(self.messages[-3:], ensure_ascii=False), keys=self._keys)
        return FailedTurnError(failure._replace(message=f"{self._where(who)}: {failure.message}"))

    def _where(self, who: str) -> str:
        return f"turn {max(self._n_turns, 1)}, {who}"

    # Tools

    async def _called(self, call: Call, n: int, chain: str) -> tuple[str, str]:
        """What one call gives, as the model reads it, and what tells the call from others. What cannot be called is told to the model, and costs nothing."""
        self._rules.counted["calls"] += 1
        found = self._rules.tools.get(call.name)
        told = json.dumps([call.name, call.arguments])
        if found is None:
            return told, self._error(f"there is no tool {call.name!r}; there are {', '.join(self._rules.tools)}")
        tool, question = found
        try:
            arguments = json.loads(call.arguments or "{}")
        except (ValueError, RecursionError) as exc:
            return told, self._error(f"{NOT_READ}: {exc}")
        if not isinstance(arguments, dict):
            return told, self._error(NOT_READ)
        try:
            tool.checked(arguments)
        except ValueError as exc:
            return told, self._error(f"the arguments do not fit: {exc}")
        ordinal = {} if tool.pure else {"ordinal": hashlib.sha256(f"{chain} {n}".encode()).hexdigest()[:32]}
        request = json.dumps({"arguments": arguments, **ordinal}, ensure_ascii=False, sort_keys=True)
        try:
            text, _, _ = await self._ask(question, request, 0, f"the tool {call.name!r}")
        except NotAskedError:
            text = None
        gave = json.loads(text or "{}")
        said = self._error(gave["error"]) if "error" in gave else str(gave.get("result", ""))
        return f"{question.digest} {request} {said}", said

    def _error(self, what: str) -> str:
        self._rules.counted["errors"] += 1
        return f"Error: {what}"


def _told_apart(calls: Sequence[Call], turn: int) -> list[Call]:
    """The calls of a turn with ids of their own: some servers give none, or one for all. They have nine letters, as Mistral wants them."""
    seen: set[str] = set()
    made = []
    for n, call in enumerate(calls):
        is_known = call.id and call.id not in seen
        named = call if is_known else call._replace(id=hashlib.sha256(f"{turn} {n} {call.name} {call.arguments}".encode()).hexdigest()[:9])
        seen.add(named.id)
        made.append(named)
    return made
