"""What the trainers of the sentence-transformers family share: loading, rows in the order their losses read, losses by name, saving."""

from __future__ import annotations

import ast
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import SettingError, TrainingError, did_you_mean, listed
from dreamframe.models.base import setting
from dreamframe.models.local.memory import own_memory
from dreamframe.trainers import loading
from dreamframe.trainers.base import json_text
from dreamframe.trainers.config_fields import package_folder
from dreamframe.trainers.heads import note_new_head, other_head
from dreamframe.trainers.job import TrainJob, fit_length, leave_out, read_rows
from dreamframe.trainers.local import LocalTrainer
from dreamframe.trainers.loss_args import check_loss_args, made_args
from dreamframe.trainers.nothing_to_learn import learns_from_others, refuse_alone
from dreamframe.trainers.roles import LABEL, NUMBER, TEXT, Roles
from dreamframe.trainers.saving import strip

TEXTS = ("anchor", "positive", "negative", "sentence1", "sentence2", "text")
RANKED = (Roles({"anchor": TEXT, "positive": TEXT, "negative": TEXT}), Roles({"anchor": TEXT, "positive": TEXT}))
SCORED = (Roles({"sentence1": TEXT, "sentence2": TEXT, "score": NUMBER}),)
LABELLED = (Roles({"sentence1": TEXT, "sentence2": TEXT, "label": LABEL}),)


@dataclass(frozen=True)
class SentenceTrainer(LocalTrainer):
    """Settings that the trainers of the family share. `loss` is the name of one of its losses; None: the usual one for the columns.

    `loss_args` are its further arguments; distances and similarities go by name: `{"distance_metric": "cosine", "margin": 0.5}` (cosine, euclidean,
    manhattan), `{"similarity_fct": "dot"}`.
    """

    loss: str | None = setting()  # a loss of sentence-transformers; None: the usual one for the columns
    loss_args: Any = setting()  # a dict of further arguments of the loss

    shows_predictions: ClassVar[bool] = False
    family: ClassVar[str] = "sentence_transformer"  # the sub-package of sentence_transformers
    usual: ClassVar[Mapping[tuple[str, ...], str]] = {}  # columns → loss
    aliases: ClassVar[Mapping[str, str]] = {"input": "anchor", "output": "positive"}

    def __post_init__(self) -> None:
        object.__setattr__(self, "loss_args", json_text(self.loss_args, f"{self.label} loss_args"))
        super().__post_init__()

    def _refuse_impossible(self) -> None:
        super()._refuse_impossible()
        if self.init:
            raise SettingError(f"{self.label}: init='scratch' is not possible here; pre-train the encoder first.")
        if self.quantization:
            raise SettingError(f"{self.label}: quantization= is not possible here: the trained adapter is merged into the weights.")

    def check(self, columns: Mapping[str, str], schema: pl.Schema, *, has_validation: bool = True) -> None:
        super().check(columns, schema, has_validation=has_validation)
        if self.loss is not None and self.loss not in (names := losses_of(self.family)):
            raise SettingError(f"{self.label}: no loss {self.loss!r}.{did_you_mean(self.loss, names)} Possible: {listed(names, most=60)}.")
        given = tuple(self.roles(columns, schema))
        if loss := self.loss_of(given):
            check_loss_args(self.family, loss, json.loads(self.loss_args or "{}"), self.label)
        if self.share == 1 and learns_from_others(loss, given):
            alone = f"batch_size={self.batch_size} leaves each row alone in its batch"
            raise SettingError(f"{self.label}: {alone}, and {loss} compares the rows of a batch: 2 or more.")

    @property
    def share(self) -> int:
        """Rows that are read at once: of one process, in one part of a step."""
        return self.batch_size // (self.processes * int(self.settings().get("gradient_accumulation_steps", 1)))

    def loss_of(self, columns: tuple[str, ...]) -> str:
        """The name of the loss that was asked for, or the usual one of the columns."""
        return self.loss or next((loss for usual, loss in self.usual.items() if set(usual) == set(columns)), "")

    @property
    def is_adapter(self) -> bool:
        return False  # an adapter is merged when it is done: embedding programs read whole folders

    def open_base(self, job: TrainJob, cls: Any, **config: Any) -> Any:
        """The base, with the adapter of `peft=` over it."""
        from transformers import set_seed

        set_seed(self.seed)  # new heads are drawn here
        model = self._opened(job.base, cls, **config)
        job.check_base()
        if job.base is not None and (sizes := other_head(job.base, config)) is not None:
            note_new_head(sizes, job, self.label)
        with contextlib.suppress(AttributeError, KeyError):  # modules of other kinds have neither
            loading.need_embeddings(self.label, model[0].auto_model, model.tokenizer)
        if self.max_length:
            model.max_seq_length = self.max_length
        if (adapter := loading.adapter_config(self, task="FEATURE_EXTRACTION")) is not None:
            # Heads that were just drawn must be the same ones in a checkpoint, and when the adapter is merged: they are kept in a folder.
            model.save_pretrained(str(job.workdir / "base"), create_model_card=False)
            model = self._opened(job.workdir / "base", cls, **config)
            heads = {n.split(".")[-1] for n, _ in model.named_modules()} & {"classifier", "score"}
            adapter.modules_to_save = sorted({*(adapter.modules_to_save or []), *heads}) or None
            model.add_adapter(adapter)
        return model

    def _opened(self, folder: Path | None, cls: Any, **config: Any) -> Any:
        loading.need_device(self)
        heads = {"ignore_mismatched_sizes": True} if folder is not None and other_head(folder, config) is not None else {}
        options = {"trust_remote_code": self.trust_remote_code, "local_files_only": True, "model_kwargs": {**loading.dtype_of(self), **heads}}
        return own_memory(cls(str(folder), device=loading.device_named(self), **options, **config))

    def texts(self, path: Path | None, job: TrainJob, model: Any) -> pl.DataFrame | None:
        """The rows of a file, columns in the order that the losses read, with overlong texts treated as `too_long` says."""
        who = self.label if path == job.rows else f"{self.label} validation"
        rows = read_rows(path, job, who=who)
        if rows is None:
            return None
        order = next(way for way in self.ways if set(way.kinds) == set(rows.columns)).kinds
        rows = rows.select(pl.col(c).cast(pl.String) if c in TEXTS else pl.col(c) for c in order)
        if "score" in rows.columns:
            rows = rows.with_columns(pl.col("score").cast(pl.Float32))
        limit = model.max_seq_length
        counts = list(zip(*([len(i) for i in model.tokenizer(rows[c].to_list())["input_ids"]] for c in rows.columns if c in TEXTS), strict=True))
        rows = leave_out(rows, [i for i, n in enumerate(counts) if min(n) == 0], why="hold an empty text, which is no token", who=who, job=job)
        longest = [max(n) for n in counts if min(n)]
        if limit is not None:
            rows = fit_length(rows, longest, limit=limit, policy=self.too_long, who=who, job=job)
        if path == job.rows:
            refuse_alone(self.loss_of(tuple(rows.columns)), rows, who=who)
        return rows

    def loss_over(self, model: Any, columns: tuple[str, ...], **own: Any) -> Any:
        """The loss that was asked for, or the usual one."""
        import importlib

        name = self.loss or self.usual[columns]
        module = importlib.import_module(f"sentence_transformers.{self.family}.losses")
        given = json.loads(self.loss_args) if self.loss_args else {}
        try:
            return getattr(module, name)(model, **{**own, **made_args(self.family, name, given)})
        except TypeError as exc:
            raise TrainingError(f"{self.label}: {name} cannot be made from loss_args={given}: {exc}") from exc

    def keep(self, model: Any, job: TrainJob, cls: Any, **config: Any) -> None:
        """Write the whole model; an adapter is merged into the base first."""
        if self.peft:
            model.save_pretrained(str(job.workdir / "adapter"), create_model_card=False)
            length = model.max_seq_length
            model = self._opened(job.workdir / "base", cls, **config)
            model.max_seq_length = length
            _merge(model, job.workdir / "adapter")
        model.save_pretrained(str(job.out), create_model_card=False)
        strip(job.out, self.base_name)


def without_card(trainer_class: Any) -> Any:
    """The library's trainer without its model-card callback, which embeds examples and looks for the base on the Hub."""

    class Quiet(trainer_class):
        def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
            """Cards are written from the plan."""

    return Quiet


def losses_of(family: str) -> list[str]:
    """The losses that a sub-package of sentence-transformers exports, read from its source."""
    root = package_folder("sentence_transformers")
    file = (root or Path()) / family / "losses" / "__init__.py"
    for node in ast.parse(file.read_text()).body if file.exists() else []:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return sorted(n for n in ast.literal_eval(node.value) if n.endswith("Loss"))
    return []


def as_numbers(labels: pl.Series) -> pl.Series:
    """Classes as numbers 0, 1, 2 … in sorted order; true and false as 1 and 0; whole numbers as they are."""
    if labels.dtype == pl.Boolean or labels.dtype.is_integer():
        return labels.cast(pl.Int64)
    names = labels.cast(pl.String)
    return names.replace_strict({v: i for i, v in enumerate(names.unique().sort())}, return_dtype=pl.Int64)


def retrieval_of(rows: pl.DataFrame) -> dict[str, Any]:
    """Anchors as queries, each different positive and negative as a document, for an evaluator of retrieval."""
    texts = pl.concat([rows[c].alias("text") for c in ("positive", "negative") if c in rows.columns]).unique(maintain_order=True).to_list()
    number = {t: str(i) for i, t in enumerate(texts)}
    wanted: dict[str, set[str]] = {}
    for anchor, positive in rows.select("anchor", "positive").iter_rows():
        wanted.setdefault(anchor, set()).add(number[positive])
    return {
        "queries": {str(i): a for i, a in enumerate(wanted)},
        "corpus": {i: t for t, i in number.items()},
        "relevant_docs": {str(i): docs for i, docs in enumerate(wanted.values())},
        "accuracy_at_k": [1], "precision_recall_at_k": [1], "map_at_k": [10], "write_csv": False,
    }  # fmt: skip


def _merge(model: Any, adapter: Path) -> None:
    """Lay an adapter into the weights of the first module."""
    from peft import PeftModel

    inner = "auto_model" if hasattr(model[0], "auto_model") else "model"
    setattr(model[0], inner, PeftModel.from_pretrained(getattr(model[0], inner), str(adapter)).merge_and_unload())
