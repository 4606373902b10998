"""Settings of a trainer, and what every trainer does alike: checks, identity, edges of the plan. One algorithm a file beside this one."""

from __future__ import annotations

import json
import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import polars as pl

from dreamframe.errors import DreamframeError, SettingError, TrainingError, did_you_mean, listed
from dreamframe.models.base import LLM, Artefact, ModelSettings
from dreamframe.models.edges import Trained, as_edge, numbered, with_edges
from dreamframe.models.reach import Reach
from dreamframe.redaction.secret import hidden_json
from dreamframe.trainers import kinds
from dreamframe.trainers.job import TrainJob, write_log
from dreamframe.trainers.kinds import Kind
from dreamframe.trainers.plain_numbers import check_numbers, need_object
from dreamframe.trainers.roles import Roles, assign
from dreamframe.trainers.unknown_settings import refuse_unknown

if TYPE_CHECKING:
    from dreamframe.models.embedders.base import Embedder
    from dreamframe.models.task_models.base import TaskModel

ALIASES = {"input": "prompt", "output": "completion"}


@dataclass(frozen=True)
class Chained:
    """A trained model together with what it was trained from, so that its adapter can be laid over the right weights."""

    artefact: Artefact
    base: Any = None

    def key_fields(self) -> Mapping[str, object]:
        return {"key": self.artefact.key}


@dataclass(frozen=True)
class Trainer(Reach, ABC):
    """Settings of one training: a frozen value. Every field is part of the model's key unless it is declared steering.

    `base` is what to start from: a Hub id, a folder, a GGUF file, the settings of a local LLM or embedder, or a model of this plan.

    A trainer of your own is a frozen dataclass over this one, with `ways` and `run(job)`: docs/how/own-trainer.md.

    >>> isinstance(dr.LogisticRegression(), dr.Trainer)
    True
    """

    base: Any  # what to start from: a Hub id, a folder, a GGUF file, a local model, a model of this plan

    ways: ClassVar[tuple[Roles, ...]] = ()  # the ways of giving rows, tried in order
    extra_roles: ClassVar[bool] = False  # whether further columns are passed on
    aliases: ClassVar[Mapping[str, str]] = ALIASES
    cites: ClassVar[tuple[str, ...]] = ()  # papers, for the model card: "DPO (Rafailov et al. 2023) https://arxiv.org/abs/2305.18290"
    kind: ClassVar[Kind] = kinds.LLM  # what the artefact is
    version: ClassVar[int] = 1
    is_light: ClassVar[bool] = False  # whether it needs so little memory that models which wait may stay loaded

    def __new__(cls, *args: Any, **given: Any) -> Self:
        """Refuse settings that it does not have, before Python does without a hint."""
        refuse_unknown(cls, given)
        made: Self = super().__new__(cls, *args, **given)
        return made

    def missing(self) -> tuple[DreamframeError, ...]:
        """What this machine lacks to train so, beside the libraries that `check` looks for: packages with weights, a key, what its judges need."""
        return ()

    def __post_init__(self) -> None:
        """A subclass checks its settings here, and calls this one's first."""
        with_edges(self)
        check_numbers(self, self.label)

    @property
    def label(self) -> str:
        """What messages and progress call this trainer."""
        return type(self).__name__

    @property
    def needs_rows(self) -> bool:
        """Whether there is nothing to train without a row."""
        return True

    @property
    def summary(self) -> str:
        """What explain() and progress show: the algorithm and its base."""
        return f"{self.label}({_shown(self.base)})"

    def roles(self, columns: Mapping[str, str], schema: pl.Schema) -> dict[str, str]:
        """Role → column. Roles that were not named are taken by columns of the same name. Raises a PlanError where no way of giving rows fits."""
        return assign(columns, schema, self.ways, aliases=self.aliases, extra=self.extra_roles, who=self.label)

    def check(self, columns: Mapping[str, str], schema: pl.Schema, *, has_validation: bool = True) -> None:  # noqa: ARG002  local trainers use it
        """Refuse what cannot be trained, before anything runs. Raises a PlanError."""
        self.roles(columns, schema)

    def as_llm(self, model: Trained, **settings: Any) -> LLM:  # noqa: ARG002  trainers of language models use it
        """The trained model as an LLM for prompts."""
        raise self._not_asked("a language model", "llm", ", so it cannot be prompted.")

    def as_embedder(self, model: Trained, **settings: Any) -> Embedder:  # noqa: ARG002  trainers of embedders use it
        """The trained model as an embedder."""
        raise self._not_asked("an embedder", "embedder", "; dr.SentenceTransformerTrainer does.")

    def as_classifier(self, model: Trained, **settings: Any) -> TaskModel:  # noqa: ARG002  trainers of classifiers use it
        """The trained model as a task model that gives labels."""
        raise self._not_asked("a classifier", "classifier", "; dr.Classifier does.")

    def as_reward(self, model: Trained, **settings: Any) -> TaskModel:  # noqa: ARG002  dr.Reward uses it
        """The trained model as a task model that scores answers."""
        raise self._not_asked("a reward model", "reward", "; dr.Reward does.")

    def _not_asked(self, what: str, way: str, hint: str) -> SettingError:
        if self.kind.name == way:  # a trainer of one's own, with a kind that is here
            return SettingError(f"{self.label} makes {what}, and does not say how it is asked: give it a method as_{way}(self, model, **settings).")
        return SettingError(f"{self.label} does not make {what} (it makes: {self.kind}){hint}")

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
        held = {f.name: getattr(self, f.name) for f in fields(self) if not f.metadata.get("runtime")}
        unsaid = {f.name for f in fields(self) if f.metadata.get("is_later") and held.get(f.name) is None}
        return {name: numbered(as_edge(value), edges) for name, value in held.items() if name not in unsaid}

    def weights_here(self) -> Mapping[str, object]:
        """Field → digests of the weights that it names on this machine. Reads the disk."""
        return {}

    def identity_fields(self) -> Mapping[str, object]:
        """What decides the weights besides the rows: the settings, with the base by content. Reads the disk; call it on resolved settings."""
        self.check_places()
        return {"trainer": self.label, "version": self.version, **self.key_fields()}

    def kept_by_validation(self) -> str | None:
        """What validation rows decide about the weights that are kept, as part of the model's key; None where they only measure."""
        return None

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
        except TrainingError as exc:
            if job.notes and len(exc.args) == 1:  # which rows were left out before often says why
                exc.args = ("\n".join((f"{exc}", "Before that:", *job.notes)),)
            raise
        except DreamframeError:
            raise
        except Exception as exc:  # the one place where another library's error is wrapped
            raise TrainingError(f"{self.label}: {type(exc).__name__}: {exc}") from exc
        write_log(summary.pop("log", []), job.out / "metrics.arrow")
        return dict(finite({"trainer": self.label, "kind": self.kind.name, **summary, "notes": job.notes}))

    @abstractmethod
    def run(self, job: TrainJob) -> dict[str, Any]:
        """Train in this process or in others."""


def refuse_unless(value: str, possible: tuple[str, ...], *, name: str, who: str) -> None:
    """Raise SettingError where a setting is not one of the possible words."""
    if value not in possible:
        raise SettingError(f"{who}: {name}={value!r} is not possible.{did_you_mean(value, possible)} Possible: {listed(possible, most=40)}.")


ALGORITHMS = {  # losses of other libraries' DPO and CPO, and the trainers that have them here
    "kto_pair": "dr.KTO (columns prompt, completion, label; a pair is two rows, one liked and one not)", "kto": "dr.KTO", "bco": "dr.DPO(loss='bco_pair')",
    "orpo": "dr.ORPO", "simpo": "dr.CPO(loss='simpo', cpo_alpha=0.0)", "cpo": "dr.CPO", "rso": "dr.DPO(loss='hinge')", "ppo": "dr.PPO", "grpo": "dr.GRPO",
    "dpo": "dr.DPO", "sppo": "dr.DPO(loss='sppo_hard')", "apo": "dr.DPO(loss='apo_zero')",
}  # fmt: skip


def refuse_algorithm(loss: str, *, who: str) -> None:
    """Raise SettingError where a loss is an algorithm of its own, naming its trainer."""
    if loss in ALGORITHMS and not (who == "CPO" and loss == "simpo"):
        raise SettingError(f"{who}: loss={loss!r} is not one of its losses; use {ALGORITHMS[loss]}.")


def finite(value: Any) -> Any:
    """The same without NaN and infinity, which JSON has no words for: null in their place."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_text(value: Any, where: str) -> str | None:
    """A dict as canonical JSON text: frozen, hashable, and fit to cross to another process."""
    if value is None:
        return None
    if isinstance(value, str):
        need_object(value, where)
        return hidden_json(value, "args")
    try:
        return hidden_json(json.dumps(dict(value), sort_keys=True, separators=(",", ":")), "args") if value else None
    except (TypeError, ValueError) as exc:
        raise SettingError(f"{where}: every value must be plain (text, number, list, dict): {exc}") from exc


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
