"""Language models for tests, ours and yours: no key, no network, every call counted.

>>> llm = dr.testing.Scripted({"2+2": "4"})
>>> dr.frame({"q": ["2+2"]}).prompt(llm, "{q}").to_dicts()
[{'q': '2+2', 'answer': '4'}]
>>> llm.calls
1
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from dreamframe.errors import BadRequestError, CallError
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.models.base import LLM, Client, steering
from dreamframe.models.embedders.base import Embedder
from dreamframe.models.menu import LETTERS, shares_of, weighed, without_menu
from dreamframe.models.request import Completion, Request
from dreamframe.models.task_models.base import TaskModel, labels_of, prediction, wants_scores, with_scores


@dataclass
class Log:
    """The requests a testing model was asked, in order of arrival."""

    requests: list[Request] = field(default_factory=list)
    keep: bool = True  # False: requests are counted only
    n_requests: int = 0
    in_flight: int = 0
    most_in_flight: int = 0


@dataclass(frozen=True)
class Fake(LLM):
    """What the testing models share: a log of their requests, and a client in this process."""

    model: str = "fake"
    concurrency: int = steering(256)
    latency_s: float = steering(0.0)
    log: Log = steering()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "log", self.log or Log())

    @property
    def calls(self) -> int:
        """How often the model was asked."""
        return self.log.n_requests

    @property
    def prompts(self) -> list[str]:
        """The prompts it was asked, in order of arrival."""
        return [r.prompt for r in self.log.requests]

    def no_tools(self) -> str | None:
        return None

    def pool_key(self) -> str:
        return f"fake {id(self.log)}"

    def open(self) -> Client:
        return FakeClient(self)

    def reply(self, request: Request) -> Completion:
        """The answer to one request, or a CallError."""
        return Completion(last_text(request), n_in=len(request.prompt.split()), n_out=1, model=self.model)


def last_text(request: Request) -> str:
    """The text of the last message, without its images."""
    content = request.messages()[-1].get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


@dataclass(frozen=True)
class Echo(Fake):
    """Answers every prompt with the prompt.

    >>> dr.testing.Echo().label
    'echo'
    """

    model: str = "echo"
    provider: ClassVar[str] = "echo"


@dataclass(frozen=True)
class Scripted(Fake):
    """Answers from a script: a function of the prompt, a dict by prompt, or a list in order of the requests. A CallError in it is raised.

    A list is a script for requests one at a time, so it asks one at a time. An answer that is a dict of labels (or True and False) and their
    probabilities is what `probability=` reads; elsewhere its likeliest label is said. A label alone is certain. The script sees prompts without the menu
    that `probability=` puts below them.

    >>> llm = dr.testing.Scripted(lambda asked: {True: 0.9, False: 0.1} if "cup" in asked else {True: 0.2, False: 0.8})
    >>> dr.frame({"t": ["the cup", "a vote"]}).prompt(llm, "Sports? {t}", "sports", schema=bool, probability="p").to_dicts()
    [{'t': 'the cup', 'sports': True, 'p': 0.9}, {'t': 'a vote', 'sports': False, 'p': 0.8}]
    """

    model: Any = "scripted"
    script: Any = field(default=None, kw_only=True, metadata={"runtime": True})
    provider: ClassVar[str] = "scripted"
    most_labels: ClassVar[int] = len(LETTERS)

    def __init__(self, script: Any, *, model: str = "scripted", **settings: Any) -> None:
        one_at_a_time = isinstance(script, Sequence) and not isinstance(script, str)
        settings.setdefault("concurrency", 1 if one_at_a_time else 256)
        names = set(type(self).__dataclass_fields__)
        for name, value in {**{n: f.default for n, f in type(self).__dataclass_fields__.items()}, **settings}.items():
            assert name in names, f"Scripted has no setting {name!r}"
            object.__setattr__(self, name, value)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "script", script)
        self.__post_init__()

    def identity_fields(self) -> Mapping[str, object]:
        return {**super().identity_fields(), "script": self.script}

    def reply(self, request: Request) -> Completion:
        answer = self._answer(request)
        if isinstance(answer, CallError):
            raise answer
        if labels := request.question.labels:
            shares = answer if isinstance(answer, Mapping) else {answer: 1.0}
            return Completion(weighed(labels, shares_of(labels, shares)), n_in=1, n_out=1, model=self.model)
        if isinstance(answer, Mapping):
            likeliest = max(answer, key=answer.__getitem__)
            answer = {True: "yes", False: "no"}[likeliest] if isinstance(likeliest, bool) else likeliest
        return answer if isinstance(answer, Completion) else Completion(str(answer), n_in=1, n_out=1, model=self.model)

    def _answer(self, request: Request) -> Any:
        prompt = without_menu(last_text(request), request.question.labels)
        if isinstance(self.script, Mapping):
            return self.script[prompt]
        if callable(self.script):
            return self.script(prompt)
        return self.script[min(self.calls, len(self.script)) - 1]


@dataclass(frozen=True)
class Failing(Fake):
    """Refuses every request, or those that `when` chooses by their prompt, with an error of your choice."""

    model: str = "failing"
    error: Any = field(default=None, kw_only=True, metadata={"runtime": True})
    when: Callable[[str], bool] | None = field(default=None, kw_only=True, metadata={"runtime": True})
    provider: ClassVar[str] = "failing"

    def reply(self, request: Request) -> Completion:
        if self.when is None or self.when(request.prompt):
            raise self.error if self.error is not None else BadRequestError("refused by the testing model", status=400)
        return super().reply(request)


@dataclass(frozen=True)
class WordEmbedder(Embedder):
    """Embeds a text by its words, each at a place that its digest names: texts that share words are near each other.

    >>> dr.testing.WordEmbedder().dim
    64
    """

    model: str = "words"
    concurrency: int = steering(256)
    latency_s: float = steering(0.0)
    log: Log = steering()
    size: int = field(default=64, kw_only=True)
    provider: ClassVar[str] = "words"

    def __post_init__(self) -> None:
        object.__setattr__(self, "log", self.log or Log())

    @property
    def dim(self) -> int:
        return self.size

    @property
    def calls(self) -> int:
        """How often the model was asked."""
        return self.log.n_requests

    def pool_key(self) -> str:
        return f"fake {id(self.log)}"

    def open(self) -> Client:
        return FakeClient(self)

    def reply(self, request: Request) -> Completion:
        """The vector of a text: how often each of its words occurs."""
        vector = [0.0] * self.size
        for word in re.findall(r"\w+", request.prompt.lower()):
            vector[int(fingerprint(word), 16) % self.size] += 1.0
        return Completion(None, data=struct.pack(f"<{self.size}f", *vector), n_in=1, model=self.model)


@dataclass(frozen=True)
class NamingClassifier(TaskModel):
    """Chooses the label whose word the text names, with score 1; if it names none, the first label, with the score of a guess.

    >>> df = dr.frame({"t": ["a good day", "hm"]})
    >>> df.classify(dr.testing.NamingClassifier(), ["bad", "good"], "t").select("label", "label_score").collect().rows()
    [('good', 1.0), ('bad', 0.5)]
    """

    model: str = "naming"
    concurrency: int = steering(256)
    latency_s: float = steering(0.0)
    log: Log = steering()
    labels: tuple[str, ...] = field(default=("no", "yes"), kw_only=True)  # its own, for questions that name none
    provider: ClassVar[str] = "naming"
    tells_scores: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "log", self.log or Log())

    @property
    def calls(self) -> int:
        """How often the model was asked."""
        return self.log.n_requests

    def pool_key(self) -> str:
        return f"fake {id(self.log)}"

    def open(self) -> Client:
        return FakeClient(self)

    def reply(self, request: Request) -> Completion:
        """The prediction for a text."""
        labels = labels_of(request.question) or self.labels
        named = [label for label in labels if label.lower() in re.findall(r"\w+", request.prompt.lower())]
        text = prediction(named[0], 1.0) if named else prediction(labels[0], 1 / len(labels))
        if wants_scores(request.question):
            text = with_scores(text, [(label, float(label == named[0]) if named else 1 / len(labels)) for label in labels])
        return Completion(text, n_in=1, model=self.model)


class FakeClient:
    """The client of a testing model."""

    def __init__(self, llm: Fake | WordEmbedder | NamingClassifier) -> None:
        self._llm = llm

    @property
    def concurrency(self) -> int:
        return self._llm.concurrency

    async def complete(self, request: Request) -> Completion:
        log = self._llm.log
        log.n_requests += 1
        if log.keep:
            log.requests.append(request)
        log.in_flight += 1
        log.most_in_flight = max(log.most_in_flight, log.in_flight)
        try:
            await asyncio.sleep(self._llm.latency_s)
            return self._llm.reply(request)
        finally:
            log.in_flight -= 1

    async def close(self) -> None:
        """Nothing to give back."""


def __dir__() -> list[str]:
    return sorted(name for name, held in globals().items() if getattr(held, "__module__", "") == __name__ and not name.startswith("_"))
