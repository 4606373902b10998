"""Settings of a trainer of weights on this machine: the fields that all of them share, their checks, and in how many processes they train."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl

from dreamframe.errors import DreamframeError, MissingExtraError, SettingError, TrainingError
from dreamframe.models.base import LLM, ModelSettings, setting, steering
from dreamframe.models.edges import Trained
from dreamframe.models.lacking import together
from dreamframe.models.llms.transformers import Transformers
from dreamframe.models.local import devices
from dreamframe.models.local.weights import content_digest, missing_weights
from dreamframe.trainers import distributed, kinds
from dreamframe.trainers.adapters import check_adapter, peft_text
from dreamframe.trainers.base import Trainer, json_text
from dreamframe.trainers.bases import config_here, config_in, refuse_architecture, refuse_kind, refuse_no_weights
from dreamframe.trainers.best import LOADS, check_best
from dreamframe.trainers.config_fields import config_fields, package_folder
from dreamframe.trainers.export import merge_adapter, task_of
from dreamframe.trainers.fsdp import check_strategy, no_others
from dreamframe.trainers.head_labels import known_labels
from dreamframe.trainers.hooks import check_hooks
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.kinds import Kind
from dreamframe.trainers.quantization import dtype_text, quantization_text
from dreamframe.trainers.ranks import launched, refused
from dreamframe.trainers.unknown_settings import refuse_in_args
from dreamframe.trainers.weights import base_identity, digests_here, locate

NAMING = ("base", "teacher", "rewards")  # fields that may name weights
DEVICES = ("cpu", "cuda", "mps", "xpu")


@dataclass(frozen=True)
class LocalTrainer(Trainer):
    """A trainer of weights on this machine; the settings that all of these share.

    `batch_size` counts the rows of one optimiser step over all processes. With neither `epochs` nor `steps` it makes 3 epochs.
    With `train(validation=…)` the weights of the best validation loss are kept (of the best reward, where rewards teach), and `best_step` in the
    summary says which; `early_stopping=k` also stops after k evaluations without a better one (by `early_stopping_threshold` at least).
    A base that is an adapter is trained on as one; with `peft=` it is laid into its weights first, and whole weights are what is kept.
    `args` takes anything else that the underlying config knows.
    A script that torchrun or `srun` starts once for each process trains as one. `strategy="fsdp"` gives each process its part of the weights, not all.
    A `device` that is not there is a SettingError, before anything is asked.
    Rows that cannot be learnt from (null, NaN, nothing left once cut) are left out, and `summary()` counts them in its notes; `n_rows` counts those
    that are left. A training that diverges, or makes no step, is a TrainingError and nothing is kept; one whose rows taught nothing is noted.

    `callbacks`: classes of transformers' TrainerCallback, or functions that make one. `compute_metrics`: a function of the library's EvalPrediction
    (`predictions`, `label_ids`) → dict of numbers, of each validation. `optimizer`: a function of the trained `parameters` (and `learning_rate`,
    `model`, as it names them) → a torch optimizer. Functions are part of the model's key by their code, as rewards are.
    """

    peft: Any = setting()  # one of peft's configs, or a dict of its fields; LoRA lies over every linear layer where it does not say where
    quantization: Any = setting()  # of the base, under an adapter: "8bit" | "4bit", or a transformers.BitsAndBytesConfig
    init: Literal["scratch"] | None = setting()  # "scratch": the base's architecture with new weights
    epochs: float | None = setting()  # passes over the rows; 3 where neither `epochs` nor `steps` is given
    steps: int | None = setting()  # optimiser steps, instead of epochs
    batch_size: int = setting(8)  # rows of one optimiser step, over all processes
    learning_rate: float | None = setting()  # None: the algorithm's own default, ten times that under an adapter
    early_stopping: int | None = setting()  # validations without a better one before it stops; None: it does not stop early
    eval_every: int | None = setting()  # steps between validations; None: each epoch, or a tenth of `steps`
    max_length: int | None = setting()  # tokens of a row; None: the algorithm's own, never more than the model's context
    too_long: Literal["truncate", "drop", "error"] = setting("truncate")  # what becomes of longer rows; they are counted in the summary
    dtype: str | None = setting()  # of the weights: "bfloat16", "float16", …; None: 32 bits
    seed: int = setting(0)  # of the order of rows and of new weights
    processes: int = setting(1)  # on this machine, each with all weights and its share of a batch
    trust_remote_code: bool = setting(False)  # whether code that comes with the base may run
    args: Any = setting()  # a dict of further fields of the library's own config
    early_stopping_threshold: float | None = setting(is_later=True)  # by how much a validation must be better to count; None: by anything
    callbacks: Any = setting(is_later=True)  # classes of transformers' TrainerCallback, or functions that make one
    compute_metrics: Any = setting(is_later=True)  # a function of predictions and labels → dict of numbers
    optimizer: Any = setting(is_later=True)  # a function of the parameters → a torch optimizer
    strategy: Literal["ddp", "fsdp"] | None = setting(is_later=True)  # "fsdp": each process has its part of the weights; None, "ddp": all of them
    device: Any = steering()  # "cpu", "cuda:0", or a list: one process each. None: a GPU if there is one
    checkpoint_s: float = steering(60.0)  # seconds between checkpoints: what a kill may cost

    handed_on: ClassVar[tuple[str, ...]] = ("args", "peft")
    config: ClassVar[str] = "transformers.training_args:TrainingArguments"
    parts_weights: ClassVar[bool] = False  # whether strategy="fsdp" is possible
    shows_predictions: ClassVar[bool] = True  # whether the library hands its predictions to compute_metrics=
    best: ClassVar[tuple[str, bool]] = ("eval_loss", False)  # what early stopping watches, and whether more is better
    owned: ClassVar[Mapping[str, str]] = {  # config fields that have another name here
        "output_dir": "the session's folder", "num_train_epochs": "epochs=", "max_steps": "steps=", "per_device_train_batch_size": "batch_size=",
        "learning_rate": "learning_rate=", "seed": "seed=", "use_cpu": "device=", "push_to_hub": "model.push_to_hub()", "max_length": "max_length=",
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in {
            "peft": peft_text(self.peft, self.label),
            "args": json_text(self.args, f"{self.label} args"),
            "dtype": dtype_text(self.dtype, self.label),
            "quantization": quantization_text(self.quantization, self.label),
            "strategy": None if self.strategy == "ddp" else self.strategy,
            "device": tuple(map(str, self.device)) if isinstance(self.device, list | tuple) else None if self.device is None else str(self.device),
        }.items():
            object.__setattr__(self, name, value)
        if isinstance(self.device, tuple) and self.processes == 1:
            object.__setattr__(self, "processes", len(self.device))
        if self.callbacks is not None:
            object.__setattr__(self, "callbacks", tuple(self.callbacks) if isinstance(self.callbacks, list | tuple) else (self.callbacks,))
        refuse_no_weights(self.base, self.label)
        refuse_kind(self.base, self.kind, self.label)
        self._refuse_impossible()

    def _refuse_impossible(self) -> None:
        def refuse(why: str) -> None:
            raise SettingError(f"{self.label}: {why}")

        if self.quantization and not self.peft:
            refuse("quantised weights cannot be trained themselves; add an adapter: peft=LoraConfig().")
        if self.init not in (None, "scratch"):
            refuse(f"init={self.init!r} is not possible; init='scratch' starts from new weights.")
        if self.init and self.peft:
            refuse("init='scratch' has no use for an adapter: leave out peft=.")
        if self.too_long not in ("truncate", "drop", "error"):
            refuse(f"too_long={self.too_long!r} is not 'truncate', 'drop' or 'error'.")
        if isinstance(self.device, tuple) and self.processes != len(self.device):
            refuse(f"{len(self.device)} devices need processes={len(self.device)}, not {self.processes}.")
        for device in self.device if isinstance(self.device, tuple) else (self.device,):
            if device is not None and (device.split(":")[0] not in DEVICES or not (device.partition(":")[2] or "0").isdecimal()):
                refuse(f"device={device!r} is not one of {', '.join(DEVICES)}, or one of several by its number, such as 'cuda:0'.")
        check_strategy(self)
        if self.steps is not None and self.epochs is not None:
            refuse(f"steps={self.steps} and epochs={self.epochs:g} both say how long it trains; give one of them.")
        if self.early_stopping_threshold is not None and not self.early_stopping:
            refuse(f"early_stopping_threshold={self.early_stopping_threshold:g} has no use without early_stopping=.")
        if self.batch_size % self.processes:
            refuse(f"batch_size={self.batch_size} counts the rows of one step over all processes; {self.processes} processes cannot share it evenly.")

    def check(self, columns: Mapping[str, str], schema: pl.Schema, *, has_validation: bool = True) -> None:
        refuse_in_args(self.settings(), self.label)
        check_hooks(self)
        check_best(self, self.settings(), has_validation=has_validation)
        package = self.config.split(".")[0]
        possible = config_fields(self.config)
        if possible is None:
            raise together([MissingExtraError(package, extra="train", needed_for=f"dr.{self.label}"), *self.missing()])  # in one line for pip
        for name in self.settings():
            if name in self.owned:
                raise SettingError(f"{self.label}: args={{{name!r}: …}} is given as {self.owned[name]}.")
            if name not in possible:
                raise SettingError.unknown(name, possible=possible, where=f"{self.label} args")
        if self.peft and package_folder("peft") is None:
            raise MissingExtraError("peft", extra="train", needed_for="peft=")
        accumulated = self.settings().get("gradient_accumulation_steps", 1)
        if isinstance(accumulated, bool) or not isinstance(accumulated, int) or accumulated < 1:
            raise SettingError(f"{self.label}: args={{'gradient_accumulation_steps': {accumulated!r}}} must be a whole number of 1 or more.")
        if self.batch_size % (accumulated * self.processes):
            raise SettingError(
                f"{self.label}: batch_size={self.batch_size} counts the rows of one step, and gradient_accumulation_steps={accumulated} "
                f"in {self.processes} process(es) cannot share it evenly; give a multiple of {accumulated * self.processes}."
            )
        check_adapter(self.peft, self.label, stays=self.is_adapter)
        if self.authority is None:
            refuse_architecture(config_here(self.base), self.kind, self.label, is_new=self.init is not None)
        super().check(columns, schema)

    def missing(self) -> tuple[DreamframeError, ...]:
        named = [getattr(self, f.name) for f in fields(self) if f.name in NAMING]
        weights = [getattr(v, "model", v) for v in named]
        judges = [v for held in named if isinstance(held, tuple) for v in held]
        asked = [model for judge in judges if isinstance(model := getattr(judge, "llm", None), ModelSettings)]
        lacking = [*missing_weights(*weights), *(error for model in asked for error in model.missing())]
        return (*lacking, *(error for error in (self.no_device(), self._no_processes()) if error is not None))

    def _no_processes(self) -> SettingError | None:
        """The error of processes that cannot share this training."""
        ranks = launched()
        return no_others(self, self.processes if ranks is None else ranks.n) or (None if ranks is None else refused(ranks, self))

    def no_device(self) -> SettingError | None:
        """The error of a device that it names and that is not there: another one would train without a word."""
        return devices.no_device(self.device, who=self.label, use="train on what there is")

    def settings(self) -> dict[str, Any]:
        """The further config fields of args= as a dict."""
        return dict(json.loads(self.args)) if self.args else {}

    def identity_fields(self) -> Mapping[str, object]:
        return {**super().identity_fields(), "base": base_identity(self.base, self.hub_token)}

    def kept_by_validation(self) -> str | None:
        """That the best weights are kept. With early stopping they always were, and by `load_best_model_at_end` whoever writes it decides: keys stay."""
        return None if self.early_stopping or LOADS in self.settings() else "best"

    def weights_here(self) -> Mapping[str, object]:
        self.check_places()
        return {f.name: held for f in fields(self) if f.name in NAMING and (held := digests_here(getattr(self, f.name)))}

    def run(self, job: TrainJob) -> dict[str, Any]:
        if self.early_stopping and job.validation is None:
            raise TrainingError(f"{self.label}: early_stopping= watches the validation loss, and there are no validation rows.")
        if job.base is None:
            at = locate(self.base, who=self.label, token=self.hub_token)
            job.base, job.adapter = at.weights, at.adapter
            job.base_digest = content_digest(at.weights) if self.weights_here() else None  # those of the Hub are at a commit
        if job.base is not None:
            refuse_architecture(config_in(job.base), self.kind, self.label, is_new=self.init is not None)
        if job.adapter is not None and (self.kind.adapter_task != task_of(job.adapter) or (self.kind is kinds.REWARD and len(known_labels(job.adapter)) > 1)):
            merge_adapter(job.base, job.adapter, job.workdir / "merged")  # another kind of model: it starts from whole weights
            job.check_base()
            job.base, job.adapter, job.base_digest = job.workdir / "merged", None, None
        if (error := self._no_processes()) is not None:
            raise error
        ranks = launched()
        if ranks is not None or self.processes > 1 or distributed.is_elsewhere(self.device):
            summary = distributed.launch(self, job) if ranks is None else distributed.launch_on_ranks(self, job, ranks)
            job.check_base()
            return summary
        return self.fit(job)

    @abstractmethod
    def fit(self, job: TrainJob) -> dict[str, Any]:
        """Train in this process, which may be one of several."""

    @property
    def is_adapter(self) -> bool:
        """Whether the artefact is an adapter over the base, rather than weights of its own."""
        goes_on = has_adapter(self.base) and _kind(self.base).name == self.kind.name and self.kind.adapter_task is not None
        return self.init is None and (goes_on if not self.peft else not has_adapter(self.base))

    def as_llm(self, model: Trained, **settings: Any) -> LLM:
        if not self.kind.writes_text:
            return super().as_llm(model, **settings)

        return Transformers(**self.weights_of(model), **settings)

    def weights_of(self, model: Trained) -> dict[str, Any]:
        """What settings of models in this process call the trained weights: an adapter lies over those of the base."""
        return {"model": root(self.base), "adapter": model} if self.is_adapter else {"model": model}

    @property
    def base_name(self) -> str | None:
        """The public name of the base, for cards and adapters. None for folders of this machine."""
        name = getattr(self.base, "model", self.base)
        return name if isinstance(name, str) and not Path(name).expanduser().exists() and not Path(name).is_absolute() else None


def has_adapter(base: Any) -> bool:
    """Whether a base is an adapter over further weights."""
    if isinstance(base, ModelSettings):
        return getattr(base, "adapter", None) is not None
    return isinstance(base, Trained) and bool(getattr(base.step.trainer, "is_adapter", False))


def _kind(base: Any) -> Kind:
    kind: Kind = base.step.trainer.kind if isinstance(base, Trained) else kinds.LLM
    return kind


def root(base: Any) -> Any:
    """The weights under all adapters, as a name, a path or a model of the plan."""
    if isinstance(base, ModelSettings):
        return base.model
    return root(base.step.trainer.base) if has_adapter(base) else base
