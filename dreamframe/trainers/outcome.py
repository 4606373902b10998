"""What a training came to: finite weights that moved, in steps that were made."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dreamframe.errors import DreamframeError, TrainingError
from dreamframe.trainers.fsdp import own_part, whole
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.local import LocalTrainer

ZERO = 1e-7  # a gradient's norm below this is rounding


class Outcome:
    """One training, looked at before, during and after it. A training that diverged is refused, and so is one of no steps; one that taught nothing is noted."""

    def __init__(self, settings: LocalTrainer, job: TrainJob, model: Any) -> None:
        self.settings, self.job, self.model = settings, job, model
        self._before = sums(model)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Say of an error that comes from weights of NaN that it does."""
        try:
            yield
        except DreamframeError:
            raise
        except Exception as exc:
            if broken := not_finite(self.model):
                raise self.diverged(f"{len(broken)} of its tensors hold NaN or infinity ({type(exc).__name__}: {exc})") from exc
            raise

    def see(self, step: int, logged: Mapping[str, Any], *, moved_before: bool = True) -> None:
        """Raise TrainingError where a step's loss is not finite: its gradient makes all weights NaN."""
        if isinstance(loss := logged.get("loss"), float) and not math.isfinite(loss):
            raise self.diverged(f"its loss was {loss} at step {step}", from_start=not moved_before)

    def check(self, *, steps: int, log: Sequence[Mapping[str, Any]], n_rows: int) -> None:
        """Look at what the training left. Raises TrainingError for no steps and for weights that are not finite; notes that nothing was learnt."""
        who = self.settings.label
        if steps == 0:
            size = self.settings.batch_size
            raise TrainingError(f"{who}: it made no step: its {n_rows} rows do not fill a batch of batch_size={size}. Give more rows, or a smaller batch_size.")
        if broken := not_finite(self.model, whole):
            raise self.diverged(f"{len(broken)} of its tensors hold NaN or infinity, such as {broken[0]}")
        blind = [row for row in log if isinstance(loss := row.get("eval_loss"), float) and not math.isfinite(loss)]
        if blind:
            self.job.note(f"{who}: the validation loss was {blind[0]['eval_loss']} at step {blind[0].get('step')}; look at the validation rows.")
        norms = [float(row["grad_norm"]) for row in log if isinstance(row.get("grad_norm"), int | float)]
        if norms and max(norms) < ZERO:
            losses = sorted({f"{row['loss']:.4g}" for row in log if isinstance(row.get("loss"), float)})
            shown = f" (the loss was {losses[0]})" if len(losses) == 1 else ""
            self.job.note(f"{who}: the rows taught nothing: the gradient was 0 at each of the {len(norms)} steps{shown}.")
        elif self._before == sums(self.model):
            self.job.note(f"{who}: no weight moved in {steps} steps; the learning rate may be too small to change any.")

    def diverged(self, seen: str, *, from_start: bool = False) -> TrainingError:
        """The error of a training that diverged; it is not gone on with from a checkpoint, which may be broken, too."""
        if os.environ.get("RANK", "0") == "0":
            shutil.rmtree(self.job.checkpoints, ignore_errors=True)
        rate = self.settings.learning_rate
        advice = f"Give a learning_rate smaller than {rate:g}" if rate else "Give a smaller learning_rate"
        if from_start:
            advice = "No weight had moved yet: look at the rows and at the weights of the base"
        return TrainingError(f"{self.settings.label}: the training diverged: {seen}. Nothing was kept. {advice}.")


def trained(model: Any) -> Iterator[tuple[str, Any]]:
    """The parameters that a training changes."""
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def not_finite(model: Any, seen: Callable[[Any], Any] = own_part) -> list[str]:
    """The names of the trained parameters that hold NaN or infinity, in what is `seen` of each."""
    return [name for name, p in trained(model) if not bool(seen(p).isfinite().all())]


def sums(model: Any) -> list[float]:
    """Two sums for each trained parameter, in double precision: they tell whether it moved."""
    import torch

    held = (whole(p) for _, p in trained(model))
    return [float(v) for p in held for v in (p.sum(dtype=torch.float64), p.abs().sum(dtype=torch.float64))]
