"""One of several sessions on one folder that ask the same rows. Says "asking" with its first call, then prints a JSON object at its end.

    python -m tests.faults.sharer FOLDER NAME LATENCY_S CONCURRENCY [no-locks] [patience=SECONDS]
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import dreamframe as dr
from dreamframe.models.base import Client
from dreamframe.models.request import Completion, Request
from dreamframe.run.calls import journal_first as asking
from dreamframe.store.claims import Claims
from dreamframe.testing import Fake, FakeClient

ROWS = 300


@dataclass(frozen=True)
class Named(Fake):
    """Answers with its name, which is not part of its identity: so one sees whose answer a row has."""

    name: str = ""
    provider: ClassVar[str] = "named"

    def identity_fields(self) -> dict[str, Any]:
        return {"provider": "named"}

    def open(self) -> Client:
        return Announcing(self)

    def reply(self, request: Request) -> Completion:
        return Completion(f"{self.name} on {request.prompt[-40:]}", n_in=1, n_out=1)


class Announcing(FakeClient):
    async def complete(self, request: Request) -> Completion:
        if self._llm.log.n_requests == 0:
            print("asking", flush=True)
        return await super().complete(request)


def plan(llm: Named) -> dr.Frame:
    """Two questions in a row, the second one about the first one's answer."""
    rows = dr.frame({"n": list(range(ROWS))})
    return rows.prompt(llm, "row {n}", into="first").prompt(llm, "again: {n} {first}", into="second")


def main(folder: str, name: str, latency_s: str, concurrency: str, *options: str) -> None:
    for option in options:
        if option == "no-locks":
            Claims.take = lambda self, keys, **_: [True] * len(keys)  # type: ignore[method-assign]
        else:
            asking.PATIENCE_S = float(option.removeprefix("patience="))
    llm = Named(name=name, latency_s=float(latency_s), concurrency=int(concurrency))
    with dr.Session(folder, progress=False) as session:
        if "no-locks" in options:
            len(session.stores.answers)  # read before either asks, as those of a run that is under way
        print("ready", flush=True)
        sys.stdin.readline()
        rows = plan(llm).collect()
        print(json.dumps({"calls": llm.calls, "from_cache": session.usage()["from_cache"], "rows": rows.rows()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
