"""Sessions: where plans run, what they kept, and how it is looked at, checked, packed and compared."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dreamframe.session.records import ModelRecord, PlanRecord, RunRecord, StepRecord, StepRun
    from dreamframe.store.records import Problem, Removed

__all__ = ["ModelRecord", "PlanRecord", "Problem", "Removed", "RunRecord", "StepRecord", "StepRun"]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in __all__:  # found when it is first used: running a plan needs no records
            return getattr(import_module(f"dreamframe.{'store' if name in ('Problem', 'Removed') else 'session'}.records"), name)
        raise AttributeError(f"module 'dreamframe.session' has no attribute {name!r}")
