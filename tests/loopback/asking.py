"""Asking a model directly, without a frame: what a test of clients and limits needs of a run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from dreamframe.errors import CallError
from dreamframe.models.base import LLM
from dreamframe.models.request import Completion, Failure, Question, Request
from dreamframe.run.calls.clients import asker_for, close_all


class Recorder:
    """A run that keeps what it is told."""

    limits = None

    def __init__(self) -> None:
        self.completions: dict[str, Completion] = {}
        self.retries: list[tuple[str, float]] = []

    def permit(self, request: Request) -> bool:
        return True

    def answered(self, request: Request, completion: Completion, *, paid: bool) -> None:
        self.completions[request.prompt] = completion

    def released(self, request: Request, error: CallError | None = None) -> None:
        """Nothing was reserved."""

    def retrying(self, request: Request, error: CallError, wait_s: float) -> None:
        self.retries.append((type(error).__name__, wait_s))

    @property
    def texts(self) -> dict[str, str | None]:
        return {p: c.text for p, c in self.completions.items()}


def question(llm: LLM, **fields: Any) -> Question:
    schema = fields.pop("schema", None)
    return Question(llm=llm, system=fields.pop("system", llm.system), sampling=llm.sampling, json_schema=schema and json.dumps(schema), **fields)


def ask(llm: LLM, prompts: Sequence[str], *, then: Question | None = None, **fields: Any) -> tuple[Recorder, dict[int, Failure]]:
    """Ask every prompt once, in a loop of its own, and close the client."""
    asked = then or question(llm, **fields)
    run = Recorder()

    async def main() -> dict[int, Failure]:
        requests = [Request(asked, p, 0, f"{i:016d}".encode()) for i, p in enumerate(prompts)]
        try:
            return await asker_for(llm).ask(requests, run, order=0)
        finally:
            await close_all()

    return run, asyncio.run(main())
