"""Settings of a trainer, and what every trainer does alike: checks, identity, edges of the plan. One algorithm a file beside this one."""

from __future__ import annotations

import json
import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from dreamframe.errors import DreamframeError, MissingExtraError, SettingError, TrainingError, did_you_mean, listed
from dreamframe.models.base import LLM, Artefact, ModelSettings, setting, steering
from dreamframe.models.edges import Trained, as_edge, numbered, with_edges
from dreamframe.models.reaching import Reaching
from dreamframe.redaction.secret import hidden_json
from dreamframe.trainers.config_fields import config_fields, package_folder
from dreamframe.trainers.job import TrainJob, write_log
from dreamframe.trainers.roles import Roles, assign

if TYPE_CHECKING:
    from dreamframe.models.embedders.base import Embedder
    from dreamframe.models.task_models.base import TaskModel

ALIASES = {"input": "prompt", "output": "completion"}
NAMING = ("base", "teacher", "rewards")  # fields that may name weights
DEVICES = ("cpu", "cuda", "mps", "xpu")
EXTRAS = {"setfit": "setfit", "openai": "openai"}  # package → extra, where it is not the extra "train"


@dataclass(frozen=True)
class Chained:
    """A trained model together with what it was trained from, so that its adapter can be laid over the right weights."""

    artefact: Artefact
    base: Any = None

    def key_fields(self) -> Mapping[str, object]:
        return {"key": self.artefact.key}


@dataclass(frozen=True)
class Trainer(Reaching, ABC):
    """Settings of one training: a frozen value. Every field is part of the model's key unless it is declared steering.

    `base` is what to start from: a Hub id, a folder, a GGUF file, the settings of a local LLM or embedder, or a model of this plan.
    """

    base: Any

    ways: ClassVar[tuple[Roles, ...]] = ()  # the ways of giving rows, tried in order
    extra_roles: ClassVar[bool] = False  # whether further columns are passed on
    aliases: ClassVar[Mapping[str, str]] = ALIASES
    cites: ClassVar[tuple[str, ...]] = ()  # papers, for the model card
    kind: ClassVar[str] = "llm"  # what the artefact is: llm, seq2seq, classifier, reward, embedder, sparse_embedder, cross_encoder, api
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """A subclass checks its settings here, and calls this one's first."""
        with_edges(self)

    @property
    def label(self) -> str:
        """What messages and progress call this trainer."""
        return type(self).__name__

    @property
    def summary(self) -> str:
        """What explain() and progress show: the algorithm and its base."""
        return f"{self.label}({_shown(self.base)})"

    def roles(self, columns: Mapping[str, str], schema: pl.Schema) -> dict[str, str]:
        """Role → column. Roles that were not named are taken by columns of the same name. Raises a PlanError where none fits."""
        return assign(columns, schema, self.ways, aliases=self.aliases, extra=self.extra_roles, who=self.label)

    def check(self, columns: Mapping[str, str], schema: pl.Schema, *, has_validation: bool = True) -> None:  # noqa: ARG002  local trainers use it
        """Refuse what cannot be trained, before anything runs. Raises a PlanError."""
        self.roles(columns, schema)

    def as_llm(self, model: Trained, **settings: Any) -> LLM:  # noqa: ARG002  trainers of language models use it
        """The trained model as an LLM for prompts."""
        raise SettingError(f"{self.label} makes no language model (it makes: {self.kind}), so it cannot be prompted.")

    def as_embedder(self, model: Trained, **settings: Any) -> Embedder:
        """The trained model as an embedder."""
        if self.kind != "embedder":
            raise SettingError(f"{self.label} makes no embedder (it makes: {self.kind}); dr.SentenceTransformerTrainer does.")
        from dreamframe.models.embedders.sentence_transformers import SentenceTransformer

        return SentenceTransformer(model, **settings)

    def as_classifier(self, model: Trained, **settings: Any) -> TaskModel:  # noqa: ARG002  trainers of classifiers use it
        """The trained model as a task model that tells labels."""
        raise SettingError(f"{self.label} makes no classifier (it makes: {self.kind}); dr.Classifier and dr.SetFit do.")

    def as_reward(self, model: Trained, **settings: Any) -> TaskModel:  # noqa: ARG002  dr.Reward uses it
        """The trained model as a task model that scores answers."""
        raise SettingError(f"{self.label} makes no reward model (it makes: {self.kind}); dr.Reward does.")

    def edges(self) -> tuple[Trained, ...]:
        """The models of the plan that must be trained before this one."""
        return tuple(e for f in fields(self) for e in _edges(getattr(self, f.name)))

    def resolve(self, trained: Callable[[Trained], Artefact]) -> Trainer:
        """The same settings with each model of the plan replaced by what it was trained into."""
        changed = {f.name: _resolved(v, trained) for f in fields(self) if _edges(v := getattr(self, f.name))}
        return replace(self, **changed) if changed else self

    def key_fields(self) -> Mapping[str, object]:
        """What a step's fingerprint sees. Models of the plan are keyed through the plan."""
        edges = self.edges()
        return {f.name: numbered(as_edge(getattr(self, f.name)), edges) for f in fields(self) if not f.metadata.get("runtime")}

    def weights_here(self) -> Mapping[str, object]:
        """Field → digests of the weights that it names on this machine. Reads the disk."""
        return {}

    def identity(self) -> Mapping[str, object]:
        """What decides the weights besides the rows: the settings, with the base by content. Reads the disk; call it on resolved settings."""
        self.check_places()
        return {"trainer": self.label, "version": self.version, **self.key_fields()}

    def train(self, job: TrainJob) -> dict[str, Any]:
        """Train, and leave the artefact in `job.out`. Gives a summary: counts, losses, metrics, log, notes, versions.

        Any trainer's failure becomes a TrainingError. A stopped or killed training goes on from its last checkpoint.
        """
        self.check_reach()
        shutil.rmtree(job.out, ignore_errors=True)
        job.out.mkdir(parents=True)
        job.checkpoints.mkdir(parents=True, exist_ok=True)
        try:
            summary = self.run(job)
        except DreamframeError:
            raise
        except Exception as exc:  # the one place where another library's error is wrapped
            raise TrainingError(f"{self.label}: {type(exc).__name__}: {exc}") from exc
        write_log(summary.pop("log", []), job.out / "metrics.arrow")
        return dict(finite({"trainer": self.label, "kind": self.kind, **summary, "notes": job.notes}))

    @abstractmethod
    def run(self, job: TrainJob) -> dict[str, Any]:
        """Train in this process or in others."""


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
                refuse(f"device={device!r} is none of {', '.join(DEVICES)}.")
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
            raise MissingExtraError(package, extra=EXTRAS.get(package, "train"), needed_for=f"dr.{self.label}")
        for name in self.settings():
            if name in self.owned:
                raise SettingError(f"{self.label}: args={{{name!r}: …}} is given as {self.owned[name]}.")
            if name not in possible:
                raise SettingError.unknown(name, possible=possible, where=f"{self.label} args")
        if self.peft and package_folder("peft") is None:
            raise MissingExtraError("peft", extra="train", needed_for="peft=")
        super().check(columns, schema)

    def settings(self) -> dict[str, Any]:
        """The further config fields of args= as a dict."""
        return dict(json.loads(self.args)) if self.args else {}

    def identity(self) -> Mapping[str, object]:
        from dreamframe.trainers.weights import base_identity

        return {**super().identity(), "base": base_identity(self.base, self.hub_token)}

    def weights_here(self) -> Mapping[str, object]:
        from dreamframe.trainers.weights import digests_here

        self.check_places()
        return {f.name: held for f in fields(self) if f.name in NAMING and (held := digests_here(getattr(self, f.name)))}

    def run(self, job: TrainJob) -> dict[str, Any]:
        from dreamframe.models.local.weights import content_digest
        from dreamframe.trainers import distributed
        from dreamframe.trainers.export import TASKS, merge_adapter, task_of
        from dreamframe.trainers.weights import locate

        if self.early_stopping and job.validation is None:
            raise TrainingError(f"{self.label}: early_stopping= watches the validation loss, and there are no validation rows.")
        if job.base is None:
            at = locate(self.base, who=self.label, token=self.hub_token)
            job.base, job.adapter = at.weights, at.adapter
            job.base_digest = content_digest(at.weights) if self.weights_here() else None  # those of the Hub are at a commit
        if job.adapter is not None and TASKS.get(self.kind) != task_of(job.adapter):
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
        goes_on = has_adapter(self.base) and _kind(self.base) == self.kind and self.kind != "classifier"
        return self.init is None and (goes_on if not self.peft else not has_adapter(self.base))

    def as_llm(self, model: Trained, **settings: Any) -> LLM:
        if self.kind not in ("llm", "seq2seq"):
            return super().as_llm(model, **settings)
        from dreamframe.models.llms.transformers import Transformers

        return Transformers(root(self.base), adapter=model, **settings) if self.is_adapter else Transformers(model, **settings)

    def as_classifier(self, model: Trained, **settings: Any) -> TaskModel:
        if self.kind != "classifier" or not self.is_adapter:
            return super().as_classifier(model, **settings)
        from dreamframe.models.task_models.hf import HFClassifier

        return HFClassifier(root(self.base), adapter=model, **settings)

    @property
    def base_name(self) -> str | None:
        """The public name of the base, for cards and adapters. None for folders of this machine."""
        name = getattr(self.base, "model", self.base)
        return name if isinstance(name, str) and not Path(name).expanduser().exists() and not Path(name).is_absolute() else None


def refuse_unless(value: str, possible: tuple[str, ...], *, name: str, who: str) -> None:
    """Raise SettingError where a setting is none of the possible words."""
    if value not in possible:
        raise SettingError(f"{who}: {name}={value!r} is not possible.{did_you_mean(value, possible)} Possible: {listed(possible, most=40)}.")


def has_adapter(base: Any) -> bool:
    """Whether a base is an adapter over further weights."""
    if isinstance(base, ModelSettings):
        return getattr(base, "adapter", None) is not None
    return isinstance(base, Trained) and bool(getattr(base.step.trainer, "is_adapter", False))


def _kind(base: Any) -> str:
    return str(base.step.trainer.kind) if isinstance(base, Trained) else "llm"


def root(base: Any) -> Any:
    """The weights under all adapters, as a name, a path or a model of the plan."""
    if isinstance(base, ModelSettings):
        return base.model
    return root(base.step.trainer.base) if has_adapter(base) else base


def finite(value: Any) -> Any:
    """The same without NaN and infinity, which JSON has no words for: null in their place."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_text(value: Any, where: str) -> str | None:
    """A dict as canonical JSON text: frozen, hashable, and fit to cross to another process."""
    if value is None or isinstance(value, str):
        return value if value is None else hidden_json(value, "args")
    try:
        return hidden_json(json.dumps(dict(value), sort_keys=True, separators=(",", ":")), "args") if value else None
    except TypeError as exc:
        raise SettingError(f"{where}: every value must be plain (text, number, list, dict): {exc}") from exc


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


def _shown(base: Any) -> str:
    if isinstance(base, ModelSettings):
        return base.label
    return str(base.step.label) if isinstance(base, Trained) else f"{base}".rstrip("/").rpartition("/")[2]


def _is_compound(value: Any) -> bool:
    """Whether a setting is itself settings over models of the plan: an LLM, or an LLM's reward."""
    return hasattr(value, "edges") and hasattr(value, "resolve")


def _edges(value: Any) -> tuple[Trained, ...]:
    if _is_compound(value):
        return tuple(value.edges())
    if isinstance(value, tuple):
        return tuple(e for v in value for e in _edges(v))
    return (held,) if isinstance(held := as_edge(value), Trained) else ()


def _resolved(value: Any, trained: Callable[[Trained], Artefact]) -> Any:
    if _is_compound(value):
        return value.resolve(trained)
    if isinstance(value, tuple):
        return tuple(_resolved(v, trained) for v in value)
    if not _edges(value):
        return value
    held = as_edge(value)
    return Chained(trained(held), _resolved(held.step.trainer.base, trained))
