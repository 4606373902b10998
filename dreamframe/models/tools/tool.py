"""A function that a model may call."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from functools import cached_property
from typing import Any, ClassVar

from dreamframe.errors import CallError, SettingError
from dreamframe.models.base import Client, Limits, ModelSettings, setting, steering
from dreamframe.models.habits import described
from dreamframe.models.request import Completion, Request
from dreamframe.models.secrets import redactor_of
from dreamframe.models.tools.signature import Signature, signature_of

MOST_SAID = 2_000  # characters of an error


@dataclass(frozen=True)
class Tool(ModelSettings):
    """A function that a model may call in `df.converse(tools=[…])`: `dr.Tool(function)`. A plain function in that list is a tool with these defaults.

    Its name, its docstring (also what that says of the arguments, in Google's style or Sphinx') and its type hints are what the model is told; `name` and
    `description` say it otherwise. Arguments are checked and turned into the types of the hints before the function is called. An async function is awaited;
    others run in threads, `concurrency` of them at once. `timeout_s` is in seconds a call.

    What it gives (a text, or what JSON can hold), what it raises and a call that took too long are results: the model reads them, and they are kept. Only a
    `dr.errors.TransientCallError` that it raises is no result: the call is made again, `attempts` times in all, and then the row is a failed row.

    A result is kept for the function's code and the arguments. With `pure=True` equal calls are one call, in all rows. Otherwise each call is made for
    itself, once: it is kept for its row and for the calls before it in its conversation, and a replay never makes it again.

    Raises SettingError for what is not a function, and for arguments without names or with types that JSON cannot hold.

    >>> def price(item: str) -> float:
    ...     "What an item costs, in francs."
    ...     return {"tea": 4.5}[item]
    >>> dr.Tool(price, pure=True).schema["function"]["parameters"]
    {'additionalProperties': False, 'properties': {'item': {'type': 'string'}}, 'required': ['item'], 'type': 'object'}
    """

    model: Callable[..., Any]  # the function
    name: str | None = setting()  # what the model calls it; None: the function's name
    description: str | None = setting()  # None: the docstring
    pure: bool = setting(False)  # whether equal calls are one call, in all rows
    timeout_s: float | None = steering()  # seconds a call may take; None: as long as it takes
    concurrency: int = steering(16)  # calls at once, of a function that is not async
    attempts: int = steering(3)  # calls in all, where it raises a TransientCallError

    provider: ClassVar[str] = "tool"

    def __post_init__(self) -> None:
        if not callable(self.model) or isinstance(self.model, type | ModelSettings):
            raise SettingError(f"Tool: {described(self.model)} is not a function; give one, e.g. def price(item: str) -> float: …")
        super().__post_init__()
        if not (self.label.isascii() and self.label.replace("-", "_").isidentifier() and len(self.label) <= 64):
            raise SettingError(f"Tool: {self.label!r} is not a name that models can call: letters, digits, _ and -, 64 at most. Give name='…'.")
        if self.timeout_s is not None and (isinstance(self.timeout_s, bool) or not isinstance(self.timeout_s, int | float) or not self.timeout_s > 0):
            raise SettingError(f"Tool: timeout_s={self.timeout_s!r} is not a number of seconds.")
        self.signature  # noqa: B018  a function that cannot be called fails here

    @property
    def label(self) -> str:
        return str(self.name or getattr(self.model, "__name__", None) or type(self.model).__name__)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "signature"}

    @cached_property
    def signature(self) -> Signature:
        """Its arguments, and what it says of itself."""
        return signature_of(self.model, who=f"Tool {self.label}")

    @property
    def schema(self) -> dict[str, Any]:
        """What a model is told of it, as OpenAI's chat API takes it."""
        told = self.description if self.description is not None else self.signature.description
        function = {"name": self.label, **({"description": told} if told else {}), "parameters": dict(self.signature.schema)}
        made: dict[str, Any] = json.loads(json.dumps({"type": "function", "function": function}, sort_keys=True))
        return made

    def identity_fields(self) -> Mapping[str, object]:
        """What a result depends on besides the arguments. How the model is told of it decides what it asks for, and is part of that question."""
        return {"provider": self.provider, "version": self.version, "function": self.model}

    def key_fields(self) -> Mapping[str, object]:
        return {**self.identity_fields(), "schema": json.dumps(self.schema, sort_keys=True), "pure": self.pure}

    def checked(self, arguments: Mapping[str, Any]) -> None:
        """Raise ValueError, in words for a model, for arguments that do not fit."""
        self.signature.check(arguments)

    def pool_key(self) -> str:
        return f"tool {id(self.model)} {self.timeout_s} {self.concurrency} {self.attempts}"

    def open(self) -> Client:
        return ToolClient(self)


def result(text: str) -> Completion:
    """What a tool gave."""
    return Completion(json.dumps({"result": text}, ensure_ascii=False))


def error(text: str) -> Completion:
    """What went wrong, which the model reads."""
    return Completion(json.dumps({"error": text[:MOST_SAID]}, ensure_ascii=False))


class ToolClient:
    """Calls the function. A request is JSON with its arguments."""

    def __init__(self, tool: Tool) -> None:
        self._tool = tool
        self.limits = Limits(attempts=tool.attempts)

    @property
    def concurrency(self) -> int:
        return self._tool.concurrency

    async def complete(self, request: Request) -> Completion:
        tool = self._tool
        try:
            given = tool.signature.check(json.loads(request.prompt)["arguments"])
            work = self._awaited(tool.model(**given)) if is_async(tool.model) else self._in_thread(given)
            made = await asyncio.wait_for(work, tool.timeout_s)
            return result(as_text(made))
        except CallError:
            raise
        except TimeoutError as exc:
            late = tool.timeout_s is not None and not str(exc)
            return error(f"TimeoutError: no result within {tool.timeout_s:g} s" if late else f"TimeoutError: {exc}")
        except (Exception, SystemExit) as exc:  # noqa: BLE001  a user's function may raise anything: the model reads it
            return error(redactor_of([tool]).text(f"{type(exc).__name__}: {exc}"))

    async def _awaited(self, call: Any) -> Any:
        return await call

    async def _in_thread(self, given: dict[str, Any]) -> Any:
        """In a thread of its own: one that does not come back in time is left behind, and keeps no program from ending."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def settle(made: Any, exc: BaseException | None) -> None:
            if done.done():
                return
            if exc is None:
                done.set_result(made)
            else:
                done.set_exception(exc if isinstance(exc, Exception) and not isinstance(exc, StopIteration) else RuntimeError(f"{type(exc).__name__}: {exc}"))

        def work() -> None:
            made, failed = None, None
            try:
                made = self._tool.model(**given)
            except BaseException as exc:  # noqa: BLE001  as above
                failed = exc
            with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
                loop.call_soon_threadsafe(settle, made, failed)

        threading.Thread(target=contextvars.copy_context().run, args=(work,), name=f"dreamframe-tool-{self._tool.label}", daemon=True).start()
        made = await done
        return await made if inspect.isawaitable(made) else made

    async def close(self) -> None:
        """There is nothing to give back."""


def is_async(function: Any) -> bool:
    """Whether a call of a function gives what must be awaited."""
    function = getattr(function, "function", function)  # of what dr.versioned made
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def as_text(made: Any) -> str:
    """What a tool gave, as the model reads it: a text as it is, everything else as JSON."""
    return made if isinstance(made, str) else json.dumps(made, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "model_dump"):  # of pydantic
        return value.model_dump(mode="json")
    if hasattr(value, "to_dicts"):  # of polars
        return value.to_dicts()
    return str(value)
