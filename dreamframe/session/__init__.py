"""Sessions: where plans run, what they kept, and how it is looked at, checked, packed and compared."""

from dreamframe.session.records import ModelRecord, PlanRecord, RunRecord, StepRecord, StepRun
from dreamframe.store.records import Problem, Removed

__all__ = ["ModelRecord", "PlanRecord", "Problem", "Removed", "RunRecord", "StepRecord", "StepRun"]
