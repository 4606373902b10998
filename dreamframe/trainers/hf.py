"""Running a trainer of the Hugging Face family: arguments, the training from its last checkpoint, and the summary."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import SettingError, TrainingError
from dreamframe.identity.arrow import shared
from dreamframe.trainers.best import LOADS, keeping_best
from dreamframe.trainers.checkpoints import going_on_from, last_checkpoint
from dreamframe.trainers.distributed import imported
from dreamframe.trainers.fsdp import gathered, part_on_cpu, parted
from dreamframe.trainers.hooked import hook, own_callbacks
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.loading import is_cpu, merges
from dreamframe.trainers.local import LocalTrainer
from dreamframe.trainers.outcome import Outcome
from dreamframe.trainers.saving import save
from dreamframe.trainers.tool_chats import in_json, says_more

if TYPE_CHECKING:
    import datasets
    from transformers import TrainerCallback

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "sentence-transformers", "setfit", "datasets")


def dataset(rows: pl.DataFrame | None) -> datasets.Dataset | None:
    """Rows as a data set in memory, without a copy on disk."""
    import datasets
    from datasets.table import InMemoryTable

    if rows is None:
        return None
    made = datasets.Dataset(InMemoryTable(shared(rows).to_arrow(compat_level=pl.CompatLevel.oldest())))
    return in_json(made, rows) if any(map(says_more, rows.dtypes)) else made


def arguments(settings: LocalTrainer, job: TrainJob, **own: Any) -> dict[str, Any]:
    """Keyword arguments for any config of the family: common settings, CPU-safe defaults, then the trainer's `own`, then args=."""
    import torch

    cpu, given = is_cpu(settings), settings.settings()
    if settings.strategy == "fsdp" and merges(settings, job):
        raise SettingError(f"{settings.label}: the base is an adapter, which peft= lays into whole weights, and strategy='fsdp' parts them. Leave out one.")
    world = int(os.environ.get("WORLD_SIZE", "1"))
    share = settings.batch_size // (world * int(given.get("gradient_accumulation_steps", 1)))
    if share < 1:
        raise TrainingError(f"{settings.label}: batch_size={settings.batch_size} is less than one row for each process and accumulation step.")
    made: dict[str, Any] = {
        "output_dir": str(job.checkpoints), "per_device_train_batch_size": share, "per_device_eval_batch_size": share,
        "seed": settings.seed, "report_to": "none", "disable_tqdm": True, "logging_strategy": "steps", "logging_steps": 1,
        "save_strategy": "no", "save_total_limit": 2, "use_cpu": cpu, "bf16": not cpu and torch.cuda.is_bf16_supported(),
        "activation_checkpointing": given.pop("gradient_checkpointing", False), "dataloader_pin_memory": not cpu, "include_num_input_tokens_seen": False,
        "logging_nan_inf_filter": False,
    }  # fmt: skip
    if settings.steps is not None:
        made["max_steps"] = settings.steps
    else:
        made["num_train_epochs"] = settings.epochs or 3.0
    made["learning_rate"] = _usual_rate(settings) if settings.learning_rate is None else settings.learning_rate
    made = {**made, **_validation(settings, job, given), **own, **given}
    return parted(made) if settings.strategy == "fsdp" else made


def _usual_rate(settings: LocalTrainer) -> float:
    """The config's own learning rate; an adapter learns best at about ten times that of full weights (https://thinkingmachines.ai/blog/lora)."""
    rate = float(imported(settings.config).__dataclass_fields__["learning_rate"].default)
    return rate * 10 if settings.peft else rate


def _validation(settings: LocalTrainer, job: TrainJob, given: dict[str, Any]) -> dict[str, Any]:
    if job.validation is None:
        return {}
    every = settings.eval_every or (math.ceil(settings.steps / 10) if settings.steps else None)
    when = {"eval_strategy": "steps", "eval_steps": every} if every else {"eval_strategy": "epoch"}
    return {**when, **keeping_best(when, given, settings.best)}


def callbacks(settings: LocalTrainer, job: TrainJob) -> list[TrainerCallback]:
    """What every trainer of the family is given to call."""
    from transformers import EarlyStoppingCallback

    from dreamframe.trainers.watch import Watch

    stopping = []
    if settings.early_stopping and job.validation:
        stopping = [EarlyStoppingCallback(settings.early_stopping, settings.early_stopping_threshold or 0.0)]
    return [Watch(settings, job), *stopping, *own_callbacks(settings)]


def run(
    trainer: Any, settings: LocalTrainer, job: TrainJob, *, n_rows: int, keep: Callable[[Any], None] | None = None, row_by_row: bool = True, **more: Any
) -> dict[str, Any]:
    """Train from the last checkpoint or from the start, evaluate, save (with `keep`, if it is given), and give the summary.

    `row_by_row`: whether the data set that was made ready has a row for each of ours, so that a lost one can be told.
    """
    from transformers import PrinterCallback, ProgressCallback

    from dreamframe.trainers.watch import Watch

    if row_by_row and (lost := n_rows - len(prepared(trainer))) > 0:
        if lost == n_rows:
            raise TrainingError(f"{settings.label}: none of the {n_rows} rows has anything left to learn from once it is cut; raise max_length.")
        job.note(f"{settings.label}: {lost} of {n_rows} rows had nothing left to learn from when they were cut, and were left out.")
        n_rows -= lost
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    hook(trainer, settings)
    part_on_cpu(trainer)
    if trainer.args.n_gpu > 1:  # the library would spread each batch over all of them, and take one such batch for each
        trainer.args._n_gpu, trainer._train_batch_size = 1, trainer.args.per_device_train_batch_size
    counts = {"n_parameters": _n(trainer.model.parameters()), "n_trained_parameters": _n(p for p in trainer.model.parameters() if p.requires_grad)}
    note_merged(settings, job)
    watch = next(c for c in trainer.callback_handler.callbacks if isinstance(c, Watch))
    checkpoint = last_checkpoint(job.checkpoints)
    start = time.monotonic()
    watch.outcome = outcome = Outcome(settings, job, trainer.model)
    with going_on_from(checkpoint, lambda: watch.has_begun, who=settings.label), outcome.watched():
        result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    state = trainer.state
    if watch.stopped:
        raise TrainingError(f"{settings.label}: stopped at step {state.global_step} of {state.max_steps}; run it again to go on from there.")
    outcome.check(steps=state.global_step, log=state.log_history, n_rows=n_rows)
    best = state.best_global_step if trainer.args.load_best_model_at_end else None
    if job.validation and not trainer.args.load_best_model_at_end and LOADS not in settings.settings():
        told = "by args= it is not looked for at the steps that are saved"
        job.note(f"{settings.label}: the last weights are kept and not those of the best validation: {told} (eval_strategy, save_strategy).")
    metrics = _evaluated(trainer, best or state.global_step) if job.validation else {}
    parts = gathered(trainer)
    if trainer.is_world_process_zero():
        if keep is None:
            save_trained(trainer, settings, job, parts)
        else:
            keep(trainer.accelerator.unwrap_model(trainer.model))
    return {
        "n_rows": n_rows,
        "steps": state.global_step,
        "epochs": state.epoch,
        "train_loss": result.training_loss,
        "losses": _first_and_last([row["loss"] for row in state.log_history if "loss" in row]),
        "metrics": {k: v for k, v in metrics.items() if isinstance(v, int | float)},
        "best_step": best,
        "resumed_from_step": int(checkpoint.name.rpartition("-")[2]) if checkpoint else None,
        "train_s": round(time.monotonic() - start, 3),
        "log": state.log_history,
        **counts,
        **about(settings),
        **more,
    }


def note_merged(settings: LocalTrainer, job: TrainJob) -> None:
    """Say so where an adapter over an adapter is not kept as one."""
    if merges(settings, job):
        job.note(f"{settings.label}: the base is an adapter; it was laid into its weights, and what is kept is whole weights with both adapters in them.")


def _n(parameters: Iterable[Any]) -> int:
    return sum(p.numel() for p in parameters)


def _evaluated(trainer: Any, step: int) -> dict[str, Any]:
    """The metrics of the weights that are kept: as they were logged at the step that left them, else looked at now."""
    logged = next((row for row in reversed(trainer.state.log_history) if "eval_loss" in row and row["step"] == step), None)
    return dict(trainer.evaluate()) if logged is None else {k: v for k, v in logged.items() if k.startswith("eval_")}


def _first_and_last(losses: list[float]) -> list[float]:
    return losses if len(losses) < 3 else [losses[0], losses[-1]]


def prepared(trainer: Any) -> datasets.Dataset:
    """The rows as the trainer made them ready."""
    rows: datasets.Dataset = trainer.train_dataset
    return rows


def save_trained(trainer: Any, settings: LocalTrainer, job: TrainJob, state: dict[str, Any] | None = None) -> None:
    """Write the trained weights, as an adapter where there is one over a base that others have too. `state`: those that were gathered of all processes."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    save(model, trainer.processing_class, job.out, base_name=settings.base_name, merge=merges(settings, job), state=state)


def about(settings: LocalTrainer) -> dict[str, Any]:
    """Versions of the libraries (recorded, not hashed) and the name of the base."""
    return {"versions": dict(_versions()), "base": settings.base_name, "processes": int(os.environ.get("WORLD_SIZE", settings.processes))}


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    """Of the libraries that are installed."""
    found = []
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found.append((name, version(name)))
    return tuple(found)
