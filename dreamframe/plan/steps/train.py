"""Train a model on the rows below: the step behind `df.train(...)`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dreamframe.errors import DreamframeError
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.models.authority import is_place
from dreamframe.models.edges import Trained
from dreamframe.plan.step import Memo, ModelStep, step
from dreamframe.trainers.base import Trainer


@step
class Train(ModelStep):
    """Inputs: the training rows, the validation rows if there are any, then the models that the trainer starts from."""

    trainer: Trainer
    columns: tuple[tuple[str, str], ...]  # (role, column), sorted: which column serves as prompt, completion, …
    has_validation: bool = False

    def content(self, memo: Memo) -> str | None:  # noqa: ARG002  a trainer reads them by itself
        """The weights on this machine that the trainer names, and which weights validation rows make it keep: what is made with the model depends on both.
        None where there is neither."""
        kept = self.trainer.kept_by_validation() if self.has_validation else None
        held = {**self.trainer.weights_here(), **({"kept": kept} if kept else {})}
        return fingerprint(held) if held else None

    def missing(self) -> tuple[DreamframeError, ...]:
        return self.trainer.missing()

    @property
    def label(self) -> str:
        return self.name or self.trainer.label.lower()

    def describe(self) -> str:
        roles = " ".join(f"{role}={column}" if role != column else role for role, column in self.columns)
        base = "" if self.trainer.base is None else f" {model_name(self.trainer.base)}"
        return f"TRAIN {self.trainer.label}{base} on {roles}"


def model_name(base: Any) -> str:
    """What a base model is called: a name, the last part of a path, or the step that trains it."""
    if isinstance(base, str):
        return Path(base).name if is_place(base) else base
    return str(base.step.label if isinstance(base, Trained) else getattr(base, "label", None) or type(base).__name__)
