"""What a training of the Hugging Face family is watched by: checkpoints by the clock, stops, progress. Imports transformers: import it in a training only."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch.distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from dreamframe.trainers.checkpoints import agreed, mark_complete
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.local import LocalTrainer
from dreamframe.trainers.outcome import Outcome


class Watch(TrainerCallback):
    """Checkpoints by the clock, a stop at the next step, and progress."""

    def __init__(self, settings: LocalTrainer, job: TrainJob) -> None:
        self.settings, self.job = settings, job
        self.outcome: Outcome | None = None
        self.saved_at, self.stopped, self.has_begun = time.monotonic(), False, False
        self.seen: dict[str, float] = {}

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:  # noqa: ARG002
        if (planned := getattr(ranks_of(kwargs.get("model")), "total_step", state.max_steps)) != state.max_steps:
            self.job.note(f"{self.settings.label}: peft=ADALORA plans for total_step={planned} steps, and the training has {state.max_steps}.")

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:  # noqa: ARG002
        self.has_begun = True

    def on_optimizer_step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:  # noqa: ARG002
        if ranks_of(model := kwargs.get("model")) is not None:  # AdaLoRA shares out its ranks by the gradients of each step
            whole: Any = getattr(model, "module", model)
            whole.base_model.update_and_allocate(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> TrainerControl:
        is_last = state.global_step >= state.max_steps
        due = not is_last and time.monotonic() - self.saved_at >= self.settings.checkpoint_s
        stop, due = agreed(self.job.stop.is_set() and not is_last, due, device=args.device)
        control.should_save = control.should_save or due or stop
        control.should_training_stop = control.should_training_stop or stop
        self.stopped = self.stopped or stop
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> TrainerControl:
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # each process writes its own random state
        if state.is_world_process_zero:
            mark_complete(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")
        self.saved_at = time.monotonic()
        return control

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:  # noqa: ARG002
        if self.outcome is not None:
            self.outcome.see(state.global_step, kwargs.get("logs") or {}, moved_before=state.global_step > 1)
        if state.is_world_process_zero:
            self.seen |= {k: float(v) for k, v in (kwargs.get("logs") or {}).items() if isinstance(v, int | float)}
            self.job.progress({**self.seen, "step": float(state.global_step), "total": float(state.max_steps)})
        return control


def ranks_of(model: Any) -> Any:
    """The config of an AdaLoRA adapter, which must be told of every step; None for any other model."""
    held = getattr(getattr(model, "module", model), "base_model", None)
    return getattr(held, "peft_config", {}).get(getattr(held, "trainable_adapter_name", None)) if hasattr(held, "update_and_allocate") else None
