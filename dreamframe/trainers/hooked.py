"""The user's callbacks, metrics and optimizer at work."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from dreamframe.errors import DreamframeError, TrainingError
from dreamframe.trainers.hooks import Hooked, name_of
from dreamframe.trainers.scores import Seen


def own_callbacks(settings: Hooked) -> list[Any]:
    """The user's callbacks, made. Raises TrainingError."""
    from transformers import TrainerCallback

    made = []
    for make in settings.callbacks or ():
        try:
            callback = make()
        except Exception as exc:  # the user's own code: whatever it raises is named and passed on
            raise TrainingError(f"{settings.label}: the callback {name_of(make)} cannot be made: {type(exc).__name__}: {exc}") from exc
        if not isinstance(callback, TrainerCallback):
            raise TrainingError(f"{settings.label}: the callback {name_of(make)} gave a {type(callback).__name__}, not a transformers.TrainerCallback.")
        made.append(callback)
    return made


def hook(trainer: Any, settings: Hooked) -> None:
    """Give the library's trainer the user's metrics and optimizer."""
    if settings.compute_metrics is not None:
        ours, raw = trainer.compute_metrics, trainer.preprocess_logits_for_metrics
        trainer.compute_metrics = _metrics(settings, ours, raw)
        trainer.preprocess_logits_for_metrics = None
    if settings.optimizer is not None:
        trainer.optimizer = _optimizer(trainer, settings)


def _metrics(settings: Hooked, ours: Callable[..., dict[str, float]] | None, raw: Callable[..., Any] | None) -> Callable[[Any], dict[str, float]]:
    """Our own numbers and the user's, which are shown the library's EvalPrediction as it is."""
    import torch

    def both(seen: Any) -> dict[str, float]:
        known: dict[str, float] = {}
        if ours is not None:
            logits = seen.predictions[0] if isinstance(seen.predictions, tuple) else seen.predictions
            known = ours(Seen(logits if raw is None else raw(torch.as_tensor(logits), None).numpy(), seen.label_ids))
        name = name_of(settings.compute_metrics)
        try:
            told = {str(k): float(v) for k, v in dict(settings.compute_metrics(seen)).items()}
        except DreamframeError:
            raise
        except Exception as exc:  # the user's own code: whatever it raises is named and passed on
            raise TrainingError(f"{settings.label}: compute_metrics={name} failed: {type(exc).__name__}: {exc}") from exc
        if own := [k for k in told if k.removeprefix("eval_") == "loss"]:
            raise TrainingError(f"{settings.label}: compute_metrics={name} names {own[0]!r}, which is the validation loss itself; give it another name.")
        if wrong := [k for k, v in told.items() if not math.isfinite(v)]:
            raise TrainingError(f"{settings.label}: compute_metrics={name} gave {told[wrong[0]]} as {wrong[0]!r}; metrics are finite numbers.")
        return {**known, **told}

    return both


def _optimizer(trainer: Any, settings: Hooked) -> Any:
    import torch

    learnt = [p for p in trainer.model.parameters() if p.requires_grad]
    given = {"parameters": learnt, "model": trainer.model, "learning_rate": trainer.args.learning_rate}
    named = inspect.signature(settings.optimizer).parameters
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in named.values())
    name = name_of(settings.optimizer)
    try:
        made = settings.optimizer(**{k: v for k, v in given.items() if takes_all or k in named})
    except Exception as exc:  # the user's own code: whatever it raises is named and passed on
        raise TrainingError(f"{settings.label}: optimizer={name} failed: {type(exc).__name__}: {exc}") from exc
    if not isinstance(made, torch.optim.Optimizer):
        raise TrainingError(f"{settings.label}: optimizer={name} gave a {type(made).__name__}, not a torch.optim.Optimizer.")
    return made
