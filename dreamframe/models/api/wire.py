"""What a server takes, as far as it is known, and what a wire format is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from dreamframe.models.request import Completion, Question, Request

Api = Literal["chat", "completions", "responses"]


@dataclass(frozen=True)
class Dialect:
    """What a server takes. Starts with what is most widely understood; the rest is seen in what it refuses."""

    api: Api = "chat"
    max_tokens: str = "max_tokens"  # or max_completion_tokens
    most_tokens: int | None = None  # of an answer, where the request must name a number and the user named none
    names_limit: str | None = field(default=None, metadata={"runtime": True})  # how its errors name a model's own limit: a pattern, the number its group
    system: Literal["system", "user"] = "system"  # "user": the system prompt stands at the head of the first user message
    schemas: tuple[str, ...] = ("strict", "loose", "object", "text")  # ways to ask for JSON, from the firmest on
    schema: str = "strict"  # the one in use
    seed: str | None = "seed"  # its name; None: the server has no seed
    refused: tuple[str, ...] = ()  # settings of an embedder that the server does without
    # Ways to reply: whole, or streamed with its usage or without. They change how an answer travels, and nothing that is asked.
    streams: tuple[str, ...] = field(default=("no", "counted", "bare"), metadata={"runtime": True})
    stream: str = field(default="no", metadata={"runtime": True})  # the one in use


class Wire(Protocol):
    """How one question travels in one dialect: compiled once, used for every row."""

    question: Question
    dialect: Dialect

    @property
    def path(self) -> str:
        """What is put to the endpoint's address."""
        ...

    @property
    def has_system(self) -> bool:
        """Whether there is a message of the system's."""
        ...

    def body(self, request: Request) -> bytes:
        """One request."""
        ...

    def read(self, body: bytes, *, place: str) -> Completion:
        """The answer in a reply with status 200. Raises BadReplyError, or what an error in the body means."""
        ...
