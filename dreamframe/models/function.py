"""An ordinary function as a language model: what has no client here yet, or needs none."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from dreamframe.errors import CallError, PermanentCallError, SettingError
from dreamframe.models.base import LLM, Client, Limits, steering
from dreamframe.models.habits import described
from dreamframe.models.menu import MOST_LABELS, shares_of, weighed
from dreamframe.models.request import Completion, Request, Sampling
from dreamframe.models.tools.turns import read_message, with_calls
from dreamframe.store.ends import TOOLS

OFFERED = ("system", "messages", "json_schema", "tools")  # besides the sampling arguments
SAMPLING = tuple(f.name for f in fields(Sampling) if f.name != "extra")


@dataclass(frozen=True)
class FunctionLLM(LLM):
    """A function that takes a prompt and gives a text, as a model for every verb. An async function is awaited; others run in threads, `concurrency` of them.

    Parameters of the function that are called like a sampling argument (`temperature`, `max_tokens`, …) are given it; a sampling argument that it has no
    parameter for is refused, but for `temperature=0`, which says that equal prompts have equal answers. It may also have `messages` (a list of dicts, as
    OpenAI's client takes them), `system` and `json_schema` (a dict, or None), and `tools` (a list, as that client takes it): it may then give a message
    with `tool_calls` instead of a text. A system prompt that it has no parameter for stands before the prompt. One that has `labels` gives, where they are
    given (a tuple of texts), a dict of labels and their probabilities, which is what `probability=` reads.

    Its code is part of the answers' identity, as of a function of `df.map`: `dr.versioned(ask, version=1)` says yourself when it changes. What it raises
    is a failed row; a `dr.errors.TransientCallError` is tried again, `attempts` times in all. `timeout_s` is in seconds a call.

    Raises SettingError for what is not a function, and for settings that it has no parameter for.

    >>> def ask(prompt: str) -> str:
    ...     return prompt.upper()
    >>> dr.frame({"text": ["tea"]}).prompt(dr.FunctionLLM(ask), "I like {text}").to_dicts()
    [{'text': 'tea', 'answer': 'I LIKE TEA'}]
    """

    model: Callable[..., Any]  # type: ignore[assignment]  # the function
    concurrency: int = steering(16)  # calls at once
    timeout_s: float | None = steering()  # seconds a call may take; None: as long as it takes
    attempts: int = steering(3)  # calls in all, where it raises a TransientCallError

    provider: ClassVar[str] = "function"
    most_labels: ClassVar[int] = MOST_LABELS
    weighs_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not callable(self.model) or isinstance(self.model, LLM | type):
            raise SettingError(f"FunctionLLM: {described(self.model)} is not a function; give one that takes a prompt and gives a text.")
        super().__post_init__()
        if refused := self.refused(self.sampling.given()):
            raise SettingError(f"FunctionLLM: {self.without(refused)}")
        for name in ("concurrency", "attempts"):
            if isinstance(value := getattr(self, name), bool) or not isinstance(value, int) or value < 1:
                raise SettingError(f"FunctionLLM: {name}={value!r} is not a whole number of 1 or more.")
        if self.timeout_s is not None and (isinstance(self.timeout_s, bool) or not isinstance(self.timeout_s, int | float) or not self.timeout_s > 0):
            raise SettingError(f"FunctionLLM: timeout_s={self.timeout_s!r} is not a number of seconds.")

    def check_asked(self, sampling: Sampling, *, step: str, is_held: bool = False) -> None:  # noqa: ARG002
        if refused := self.refused(sampling.given()):
            raise SettingError(f"{step}: {self.without(refused)}")

    def is_given(self, argument: str) -> bool:
        return argument in self.takes

    def no_probabilities(self) -> str | None:
        return None if "labels" in self.takes else "has no parameter 'labels', so it is not asked how likely each of them is"

    def no_tools(self) -> str | None:
        return None if "tools" in self.takes else "has no parameter 'tools', so it would not hear of them"

    def without(self, name: str) -> str:
        """What is said of a sampling argument that the function could not be given."""
        return f"{self.label} has no parameter {name!r}, so {name}= would do nothing. Give it one, or leave it out."

    @property
    def label(self) -> str:
        return str(getattr(self.model, "__name__", None) or getattr(self.model, "name", None) or type(self.model).__name__)

    @property
    def takes(self) -> frozenset[str]:
        """The names of the function's parameters; of one that takes any, the sampling arguments as well."""
        try:
            held = inspect.signature(getattr(self.model, "function", self.model)).parameters.values()
        except (TypeError, ValueError):  # of C
            return frozenset()
        first = next((p.name for p in held if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)), None)
        any_other = SAMPLING if any(p.kind is p.VAR_KEYWORD for p in held) else ()
        return frozenset((*(p.name for p in held if p.name != first or p.name in OFFERED), *any_other))

    def refused(self, given: dict[str, Any]) -> str | None:
        """The first of some sampling arguments that the function could not be given."""
        return next((n for n, v in given.items() if n not in self.takes and not (n == "temperature" and v == 0)), None)

    def pool_key(self) -> str:
        return f"function {id(self.model)}"

    def open(self) -> Client:
        return FunctionClient(self)


class FunctionClient:
    """Calls the function."""

    def __init__(self, llm: FunctionLLM) -> None:
        self._llm, self._takes = llm, llm.takes
        self._threads = ThreadPoolExecutor(llm.concurrency, thread_name_prefix="dreamframe-function")
        self.limits = Limits(timeout_s=llm.timeout_s, attempts=llm.attempts)

    @property
    def concurrency(self) -> int:
        return self._llm.concurrency

    async def complete(self, request: Request) -> Completion:
        given = request.question.sampling.given()
        if refused := self._llm.refused(given):
            error = PermanentCallError(self._llm.without(refused))
            error.stops_run = True
            raise error
        made = await asyncio.get_running_loop().run_in_executor(self._threads, self._called, request, given)
        if inspect.isawaitable(made):
            made = await self._awaited(made)
        if labels := request.question.labels:
            try:
                return Completion(weighed(labels, shares_of(labels, made), is_held=True), model=self._llm.label)
            except (AttributeError, TypeError, ValueError) as exc:
                raise PermanentCallError(f"{self._llm.label} gave {described(made)}, not the probabilities of {', '.join(map(repr, labels))}: {exc}") from exc
        if request.question.tools and isinstance(made, Mapping):
            return self._turn(made)
        if not isinstance(made, str):
            raise PermanentCallError(f"{self._llm.label} gave {described(made)}, not a text.")
        return Completion(made, model=self._llm.label)

    def _turn(self, made: Mapping[str, Any]) -> Completion:
        """A message that calls tools."""
        try:
            content = made.get("content")
            return with_calls(Completion(content or None, finish=TOOLS, model=self._llm.label), read_message(made))
        except (AttributeError, TypeError, ValueError) as exc:
            raise PermanentCallError(f"{self._llm.label} gave {described(made)}, not a message as OpenAI's: {exc}") from exc

    def _called(self, request: Request, given: dict[str, Any]) -> Any:
        schema = request.question.json_schema
        offered = {**given, "system": request.question.system, "messages": request.messages(), "json_schema": json.loads(schema) if schema else None}
        offered["tools"] = json.loads(request.question.tools or "[]")
        if request.question.labels:
            offered["labels"] = request.question.labels
        named = {name: value for name, value in offered.items() if name in self._takes}
        try:
            return self._llm.model(**named) if "messages" in named else self._llm.model(_text(request, with_system="system" not in named), **named)
        except CallError:
            raise
        except BaseException as exc:  # a user's function may raise anything, SystemExit too
            raise PermanentCallError(f"{type(exc).__name__}: {exc}") from exc

    async def _awaited(self, made: Any) -> Any:
        try:
            return await made
        except CallError:
            raise
        except (Exception, SystemExit) as exc:
            raise PermanentCallError(f"{type(exc).__name__}: {exc}") from exc

    async def close(self) -> None:
        """Give back the threads."""
        self._threads.shutdown(wait=False)


def _text(request: Request, *, with_system: bool) -> str:
    """The messages as one text, a blank line between them."""
    told = [m.get("content") or "" for m in request.messages() if with_system or m["role"] != "system"]
    return "\n\n".join(c if isinstance(c, str) else "".join(part.get("text", "") for part in c) for c in told)
