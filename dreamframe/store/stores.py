"""The three stores of a session, together."""

from __future__ import annotations

from dataclasses import dataclass

from dreamframe.store.answers import Answers
from dreamframe.store.models import Models
from dreamframe.store.steps import StepOutputs


@dataclass
class Stores:
    """Answers by request, step outputs by plan, models by rows. `steps` and `models` are None for a session in memory."""

    answers: Answers
    steps: StepOutputs | None
    models: Models
