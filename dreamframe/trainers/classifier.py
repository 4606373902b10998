"""Fine-tuning of classifiers: one label a text, several labels a text, or a label for each word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from dreamframe.errors import SettingError, TrainingError, listed
from dreamframe.models.base import setting
from dreamframe.models.edges import Trained
from dreamframe.models.task_models.hf import HFClassifier
from dreamframe.trainers import hf
from dreamframe.trainers.head_labels import HEADS, in_heads_order, known_labels, order_of_head
from dreamframe.trainers.job import TrainJob, fit_length, leave_out, read_rows
from dreamframe.trainers.kinds import CLASSIFIER, Kind
from dreamframe.trainers.labels import named, need_two, plain
from dreamframe.trainers.loading import load_model, load_tokenizer, row_limit, with_adapter
from dreamframe.trainers.local import LocalTrainer
from dreamframe.trainers.quiet import alone
from dreamframe.trainers.roles import LABELS, TAGS, TEXT, WORDS, Roles
from dreamframe.trainers.scores import best_tokens, class_scores, label_set_scores

if TYPE_CHECKING:
    from dreamframe.models.task_models.base import TaskModel

NOT_COUNTED = -100  # the tag of words that do not count, here and in the library
ENCODING = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Classifier(LocalTrainer):
    """Fine-tune a model to tell labels.

    Columns: `text, label` (with `text_pair` for two texts a row); a list column as `label` means any number of labels a row. `tokens, tags` (lists
    of equal length) means a label for each word; a word tagged -100 does not count, as in transformers. The labels are `labels=`, or else those of
    the training rows in sorted order (of an Enum: its categories); where the base's head knows exactly these, they keep its order, and training goes
    on from what it knows. Texts longer than `max_length` tokens (512, never more than the context) are cut and counted. Reports accuracy and F1.

    >>> dr.Classifier("me/bert", labels=["neg", "pos"]).roles({"text": "review"}, pl.Schema({"review": pl.String, "label": pl.String}))
    {'text': 'review', 'label': 'label'}
    """

    labels: Any = setting()  # in their order; None: those of the rows, sorted

    config: ClassVar[str] = "transformers.training_args:TrainingArguments"
    kind: ClassVar[Kind] = CLASSIFIER
    aliases: ClassVar[Mapping[str, str]] = {"input": "text", "output": "label"}
    ways: ClassVar[tuple[Roles, ...]] = (
        Roles({"text": TEXT, "text_pair": TEXT, "label": LABELS}, optional=("text_pair",)),
        Roles({"tokens": WORDS, "tags": TAGS}),
    )

    def __post_init__(self) -> None:
        if self.labels is not None:
            if isinstance(self.labels, str | Mapping | set | frozenset):
                raise SettingError(f"{self.label}: labels= is a {type(self.labels).__name__}; give a list, in the order of the model's outputs.")
            object.__setattr__(self, "labels", tuple(named(v) for v in self.labels))
        super().__post_init__()

    def _refuse_impossible(self) -> None:
        super()._refuse_impossible()
        if self.labels is not None and len(set(self.labels)) != len(self.labels):
            raise SettingError(f"{self.label}: labels={list(self.labels)} names one twice.")
        if self.labels is not None and "None" in self.labels:
            raise SettingError(f"{self.label}: labels={list(self.labels)} holds None, which is no label; rows without one are left out.")
        if self.labels is not None and len(self.labels) < 2:
            raise SettingError(f"{self.label}: labels={list(self.labels)}; a classifier needs two or more.")

    def check(self, columns: Mapping[str, str], schema: pl.Schema, *, has_validation: bool = True) -> None:
        super().check(columns, schema, has_validation=has_validation)
        roles = self.roles(columns, schema)
        dtype = schema[roles.get("label") or roles["tags"]]
        inner = getattr(dtype, "inner", dtype)
        if self.labels is not None and isinstance(inner, pl.Enum):
            self._refuse_strangers(set(inner.categories), where="the Enum's categories")

    def identity_fields(self) -> Mapping[str, object]:
        """With the order of the base's head, where the labels are put into it and would have another one by themselves."""
        order = order_of_head(self.base, self.labels) if self.init is None else None
        return {**super().identity_fields(), **({"head": order} if order is not None else {})}

    def as_classifier(self, model: Trained, **settings: Any) -> TaskModel:
        """`dr.HFClassifier` over what was trained; rows that had lists of labels get any number of them."""
        columns = dict(model.step.columns)
        if "label" not in columns:
            raise SettingError(f"{self.label}: it labels the words of a text, and task models label whole texts; load the folder with transformers.")
        several = isinstance(model.step.inputs[0].schema[columns["label"]], pl.List)
        return HFClassifier(**self.weights_of(model), **{"multi_label": several, **settings})

    def fit(self, job: TrainJob) -> dict[str, Any]:
        from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

        with alone():
            rows = read_rows(job.rows, job, who=self.label)
            assert rows is not None
            validation = read_rows(job.validation, job, who=f"{self.label} validation")
            column = "tags" if "tags" in rows.columns else "label"
            labels = self._labels(_counted(rows[column]))
            if self.init is None and job.base is not None:
                labels = in_heads_order(labels, known_labels(job.base, heads=HEADS[:1] if column == "label" else HEADS[1:]))
            tokenizer = load_tokenizer(self, job, padding_side="right")
            auto, task = (AutoModelForTokenClassification, "TOKEN_CLS") if column == "tags" else (AutoModelForSequenceClassification, "SEQ_CLS")
            model = load_model(self, job, auto, id2label=dict(enumerate(labels)), label2id={v: i for i, v in enumerate(labels)})
            several = isinstance(rows.schema[column], pl.List) and column == "label"
            if column == "label":
                model.config.problem_type = "multi_label_classification" if several else "single_label_classification"
            model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
            limit = row_limit(self, model, tokenizer, default=512)
            made = [None if t is None else self._encoded(t, tokenizer, labels, limit, job, w) for t, w in ((rows, ""), (validation, " validation"))]
            trainer = self._trainer(job, with_adapter(self, model, task=task), tokenizer, made, column=column, several=several)
            assert made[0] is not None
            return hf.run(trainer, self, job, n_rows=made[0].height, labels=list(labels))

    def _trainer(self, job: TrainJob, model: Any, tokenizer: Any, made: list[pl.DataFrame | None], *, column: str, several: bool) -> Any:
        from transformers import DataCollatorForTokenClassification, DataCollatorWithPadding, Trainer, TrainingArguments

        collator: Any = DataCollatorForTokenClassification if column == "tags" else DataCollatorWithPadding
        scores: Any = label_set_scores if several else class_scores
        return Trainer(
            model=model,
            args=TrainingArguments(**hf.arguments(self, job)),
            train_dataset=hf.dataset(made[0]),
            eval_dataset=hf.dataset(made[1]),
            processing_class=tokenizer,
            data_collator=collator(tokenizer),
            compute_metrics=scores,
            preprocess_logits_for_metrics=None if several else best_tokens,
            callbacks=hf.callbacks(self, job),
        )

    def _labels(self, given: pl.Series) -> tuple[str, ...]:
        """All labels in the order of the model's outputs."""
        values = given.explode().drop_nulls() if isinstance(given.dtype, pl.List) else given
        if self.labels is not None:
            return tuple(self.labels)
        ordered = values.dtype.categories.to_list() if isinstance(values.dtype, pl.Enum) else plain(values.unique()).sort().to_list()
        need_two(tuple(named(v) for v in ordered), who=self.label)
        return tuple(named(v) for v in ordered)

    def _encoded(self, rows: pl.DataFrame, tokenizer: Any, labels: tuple[str, ...], limit: int, job: TrainJob, which: str) -> pl.DataFrame:
        """Token ids and the numbers of the labels."""
        number, who = {v: i for i, v in enumerate(labels)}, self.label + which
        column = "tags" if "tags" in rows.columns else "label"
        given = plain(_counted(rows[column])).to_list()
        names = [[v if v is None else named(v) for v in row] if isinstance(row, list) else named(row) for row in given]
        seen = {n for row in names for n in ([row] if isinstance(row, str) else row) if n is not None}
        self._refuse_strangers(seen, where=f"the{which} rows", labels=labels)
        rows = rows.with_columns(pl.Series("names", names))
        if column == "tags":
            return self._words(rows, tokenizer, number, limit, job, who)
        lengths = [len(i) for i in tokenizer(*_texts(rows))["input_ids"]]
        rows = leave_out(rows, [i for i, n in enumerate(lengths) if n == 0], why="hold an empty text, which is no token", who=who, job=job)
        rows = fit_length(rows, [n for n in lengths if n], limit=limit, policy=self.too_long, who=who, job=job)
        encoded = tokenizer(*_texts(rows), truncation=True, max_length=limit)
        several = isinstance(rows.schema["label"], pl.List)
        marks = [[float(n in row) for n in labels] for row in rows["names"].to_list()] if several else [number[n] for n in rows["names"]]
        return pl.DataFrame({**{k: encoded[k] for k in ENCODING if k in encoded}, "labels": marks})

    def _words(self, rows: pl.DataFrame, tokenizer: Any, number: Mapping[str, int], limit: int, job: TrainJob, who: str) -> pl.DataFrame:
        """Each word's tag at its first token; further tokens of a word do not count."""
        uneven = rows.with_row_index("row").filter(pl.col("tokens").list.len() != pl.col("tags").list.len())["row"].to_list()
        if uneven:
            raise TrainingError(f"{who}: tokens and tags of a row must be of one length; they are not in rows {job.rows_at(uneven, who=who)}.")
        lengths = [len(i) for i in tokenizer(rows["tokens"].to_list(), is_split_into_words=True)["input_ids"]]
        rows = fit_length(rows, lengths, limit=limit, policy=self.too_long, who=who, job=job)
        encoded = tokenizer(rows["tokens"].to_list(), is_split_into_words=True, truncation=True, max_length=limit)
        marks = []
        for i, names in enumerate(rows["names"].to_list()):
            words = encoded.word_ids(i)
            firsts = [w is not None and (k == 0 or words[k - 1] != w) for k, w in enumerate(words)]
            marks.append([number.get(names[w], NOT_COUNTED) if first else NOT_COUNTED for w, first in zip(words, firsts, strict=True)])
        silent = [i for i, row in enumerate(marks) if set(row) <= {NOT_COUNTED}]
        made = pl.DataFrame({**{k: encoded[k] for k in ENCODING if k in encoded}, "labels": marks})
        return leave_out(made, silent, why="hold no word that is a token and has a tag", who=who, job=job)

    def _refuse_strangers(self, seen: set[str], *, where: str, labels: tuple[str, ...] | None = None) -> None:
        known = labels or self.labels
        if strange := sorted(seen - set(known)):
            wrong = SettingError if labels is None else TrainingError
            raise wrong(f"{self.label}: {where} have labels outside the set: {listed(strange)}. The labels are {listed(known)}.")


def _texts(rows: pl.DataFrame) -> list[list[str]]:
    """The text, and the second one where there is one."""
    return [rows[c].cast(pl.String).to_list() for c in ("text", "text_pair") if c in rows.columns]


def _counted(given: pl.Series) -> pl.Series:
    """Tags with a null for each word that does not count; labels as they are."""
    if given.name != "tags" or not getattr(given.dtype, "inner", given.dtype).is_integer():
        return given
    return given.list.eval(pl.when(pl.element() == NOT_COUNTED).then(None).otherwise(pl.element()))
