"""Settings of a trainer of weights on this machine: the fields that all of them share, their checks, and in how many processes they train."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import DreamframeError, MissingExtraError, SettingError, TrainingError
from dreamframe.models.base import LLM, ModelSettings, setting, steering
from dreamframe.models.edges import Trained
from dreamframe.models.llms.transformers import Transformers
from dreamframe.models.local.weights import content_digest, missing_weights
from dreamframe.trainers import distributed, kinds
from dreamframe.trainers.base import Trainer, json_text
from dreamframe.trainers.config_fields import config_fields, package_folder
from dreamframe.trainers.export import merge_adapter, task_of
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.kinds import Kind
from dreamframe.trainers.weights import base_identity, digests_here, locate

NAMING = ("base", "teacher", "rewards")  # fields that may name weights
DEVICES = ("cpu", "cuda", "mps", "xpu")


@dataclass(frozen=True)
class LocalTrainer(Trainer):
    """A trainer of weights on this machine; the settings that all of these share.

    `batch_size` counts the rows of one optimiser step over all processes. With neither `epochs` nor `steps` it makes 3 epochs.
    `early_stopping=k` stops after k evaluations without a better validation loss and keeps the best weights.
    `args` takes anything else that the underlying config knows.
    """

    peft: Any = setting()  # one of peft's configs, or a dict of its fields
    quantization: str | None = setting()  # of the base, under an adapter: "8bit" | "4bit"
    init: str | None = setting()  # "scratch": the base's architecture with new weights
    epochs: float | None = setting()
    steps: int | None = setting()
    batch_size: int = setting(8)
    learning_rate: float | None = setting()  # None: the algorithm's own
    early_stopping: int | None = setting()
    eval_every: int | None = setting()  # steps between validations; None: each epoch, or a tenth of `steps`
    max_length: int | None = setting()  # tokens of a row; None: the algorithm's own, never more than the model's context
    too_long: str = setting("truncate")  # longer rows: truncate | drop | error; always counted in the summary
    dtype: str | None = setting()
    seed: int = setting(0)
    processes: int = setting(1)
    trust_remote_code: bool = setting(False)
    args: Any = setting()
    device: Any = steering()  # "cpu", "cuda:0", or a list: one process each. None: a GPU if there is one
    checkpoint_s: float = steering(60.0)  # seconds between checkpoints: what a kill may cost

    handed_on: ClassVar[tuple[str, ...]] = ("args", "peft")
    config: ClassVar[str] = "transformers.training_args:TrainingArguments"
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
            "dtype": None if self.dtype is None else str(self.dtype).removeprefix("torch."),
            "device": tuple(map(str, self.device)) if isinstance(self.device, list | tuple) else None if self.device is None else str(self.device),
        }.items():
            object.__setattr__(self, name, value)
        if isinstance(self.device, tuple) and self.processes == 1:
            object.__setattr__(self, "processes", len(self.device))
        self._refuse_impossible()

    def _refuse_impossible(self) -> None:
        def refuse(why: str) -> None:
            raise SettingError(f"{self.label}: {why}")

        if self.quantization not in (None, "8bit", "4bit"):
            refuse(f"quantization={self.quantization!r} is not '8bit' or '4bit'.")
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
            if device is not None and device.split(":")[0] not in DEVICES:
                refuse(f"device={device!r} is not one of {', '.join(DEVICES)}.")
        for name in ("batch_size", "steps", "epochs", "early_stopping", "eval_every", "max_length", "processes"):
            if (value := getattr(self, name)) is not None and value <= 0:
                refuse(f"{name}={value} must be more than 0.")
        if self.batch_size % self.processes:
            refuse(f"batch_size={self.batch_size} counts the rows of one step over all processes; {self.processes} processes cannot share it evenly.")

    def check(self, columns: Mapping[str, str], schema: pl.Schema, *, has_validation: bool = True) -> None:
        if self.early_stopping and not has_validation:
            raise SettingError(f"{self.label}: early_stopping= watches the validation loss; give train(validation=…) a frame.")
        package = self.config.split(".")[0]
        possible = config_fields(self.config)
        if possible is None:
            raise MissingExtraError(package, extra="train", needed_for=f"dr.{self.label}")
        for name in self.settings():
            if name in self.owned:
                raise SettingError(f"{self.label}: args={{{name!r}: …}} is given as {self.owned[name]}.")
            if name not in possible:
                raise SettingError.unknown(name, possible=possible, where=f"{self.label} args")
        if self.peft and package_folder("peft") is None:
            raise MissingExtraError("peft", extra="train", needed_for="peft=")
        super().check(columns, schema)

    def missing(self) -> tuple[DreamframeError, ...]:
        named = [getattr(self, f.name) for f in fields(self) if f.name in NAMING]
        weights = [getattr(v, "model", v) for v in named]
        judges = [v for held in named if isinstance(held, tuple) for v in held]
        asked = [model for judge in judges if isinstance(model := getattr(judge, "llm", None), ModelSettings)]
        return (*missing_weights(*weights), *(error for model in asked for error in model.missing()))

    def settings(self) -> dict[str, Any]:
        """The further config fields of args= as a dict."""
        return dict(json.loads(self.args)) if self.args else {}

    def identity_fields(self) -> Mapping[str, object]:
        return {**super().identity_fields(), "base": base_identity(self.base, self.hub_token)}

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
        if job.adapter is not None and self.kind.adapter_task != task_of(job.adapter):
            merge_adapter(job.base, job.adapter, job.workdir / "merged")  # another kind of model: it starts from whole weights
            job.check_base()
            job.base, job.adapter, job.base_digest = job.workdir / "merged", None, None
        if self.processes > 1:
            summary = distributed.launch(self, job)
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


def peft_text(config: Any, who: str) -> str | None:
    """An adapter config as canonical JSON: its type and the fields that differ from that type's defaults, so that a new peft changes no key."""
    if config is None or isinstance(config, str):
        return config
    if isinstance(config, Mapping):
        return json.dumps({"peft_type": "LORA", **config}, sort_keys=True, separators=(",", ":"), default=sorted)
    if not hasattr(config, "peft_type") or not hasattr(config, "to_dict"):
        raise SettingError(f"{who}: peft={type(config).__name__} is not one of peft's configs, such as peft.LoraConfig().")
    plain, usual = config.to_dict(), type(config)().to_dict()
    ours = {"base_model_name_or_path", "inference_mode", "task_type", "revision", "auto_mapping", "peft_version"}
    given = {k: v for k, v in plain.items() if k not in ours and v != usual.get(k)}
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    return json.dumps({**given, "peft_type": kind}, sort_keys=True, separators=(",", ":"), default=sorted)
