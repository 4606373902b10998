"""What verbs that compare and tune look up in a session, and put down there: requests with their price and time, and results under a key of their own."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import StorageError
from dreamframe.session.running import HasStep, Running, step_of
from dreamframe.store.layout import SessionWarning

if TYPE_CHECKING:
    from dreamframe.plan.step import Step
    from dreamframe.run.why.accounts import Told


class Findings:
    """Of one session."""

    def __init__(self, running: Running) -> None:
        self._running = running

    def asked(self, plan: Step | HasStep) -> Told:
        """The steps of a plan that has run, each with the requests about its rows, whenever they were answered: tokens, price, seconds. Nothing is asked."""
        from dreamframe.run.why.accounts import accounts  # as many modules as a run needs

        step = step_of(plan)
        return self._running.replayed(lambda stores, options, hides: accounts(stores, options, hides, step))

    def find(self, key: str, schema: Mapping[str, Any]) -> pl.DataFrame | None:
        """A result that `keep` has put down under a key (32 hexadecimal digits); None where there is none."""
        if key in self._running.results:
            return self._running.results[key]
        opening = self._running.opening
        with opening.held():
            found = opening.stores.steps.find(key, schema)
            return None if found is None else found.rows()

    def keep(self, key: str, label: str, describe: str, rows: pl.DataFrame, *, kind: str) -> None:
        """Put a result down, among the outputs of steps; where there is no folder, or its disk refuses, for as long as the session object lives."""
        self._running.results[key] = rows
        opening = self._running.opening
        with opening.held():
            if not opening.stores.steps.keeps:
                return
            told = {"step": kind, "describe": describe, "parents": [], "plan": [], "steps": [], "began": time.time(), "took_s": 0.0}
            try:
                writer = opening.stores.steps.writer(key, label, rows.schema)
                writer.write(rows)
                writer.commit({**told, "schema": {name: str(dtype) for name, dtype in rows.schema.items()}})
            except StorageError as exc:
                warnings.warn(f"{label}: its result is given and not stored, since the disk refuses ({exc})", SessionWarning, stacklevel=2)
