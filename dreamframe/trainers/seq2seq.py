"""Fine-tuning of encoder-decoder models, such as T5 and BART."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import TrainingError
from dreamframe.models.base import setting
from dreamframe.trainers import hf
from dreamframe.trainers.job import TrainJob, fit_length, leave_out, read_rows
from dreamframe.trainers.kinds import SEQ2SEQ, Kind
from dreamframe.trainers.loading import context_length, load_model, load_tokenizer, with_adapter
from dreamframe.trainers.local import LocalTrainer
from dreamframe.trainers.quiet import alone
from dreamframe.trainers.roles import TEXT, Roles
from dreamframe.trainers.scores import best_tokens, token_accuracy


@dataclass(frozen=True)
class Seq2Seq(LocalTrainer):
    """Fine-tune an encoder-decoder model on inputs and outputs.

    Columns: `prompt, completion` (or `input, output`). Inputs longer than `max_length` and outputs longer than `max_target_length` tokens (512
    each, never more than the context) are cut and counted. With validation it reports the loss and the share of output tokens that come first.

    >>> dr.Seq2Seq("google/t5-v1_1-base", epochs=30).roles({"input": "abstract", "output": "tweet"}, pl.Schema({"abstract": pl.String, "tweet": pl.String}))
    {'prompt': 'abstract', 'completion': 'tweet'}
    """

    max_target_length: int | None = setting()  # tokens of an output; None: 512, never more than the context

    config: ClassVar[str] = "transformers.training_args_seq2seq:Seq2SeqTrainingArguments"
    kind: ClassVar[Kind] = SEQ2SEQ
    ways: ClassVar[tuple[Roles, ...]] = (Roles({"prompt": TEXT, "completion": TEXT}),)
    owned: ClassVar[Mapping[str, str]] = {**LocalTrainer.owned, "generation_max_length": "max_target_length="}

    def fit(self, job: TrainJob) -> dict[str, Any]:
        from transformers import AutoModelForSeq2SeqLM, DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments

        with alone():
            tokenizer = load_tokenizer(self, job)
            model = with_adapter(self, load_model(self, job, AutoModelForSeq2SeqLM), task="SEQ_2_SEQ_LM")
            rows = self._tokens(job.rows, job, model, tokenizer)
            trainer = Seq2SeqTrainer(
                model=model,
                args=Seq2SeqTrainingArguments(**hf.arguments(self, job)),
                train_dataset=hf.dataset(rows),
                eval_dataset=hf.dataset(self._tokens(job.validation, job, model, tokenizer)),
                processing_class=tokenizer,
                data_collator=DataCollatorForSeq2Seq(tokenizer, model=model),
                compute_metrics=token_accuracy,
                preprocess_logits_for_metrics=best_tokens,
                callbacks=hf.callbacks(self, job),
            )
            assert rows is not None
            return hf.run(trainer, self, job, n_rows=rows.height)

    def _tokens(self, path: Path | None, job: TrainJob, model: Any, tokenizer: Any) -> pl.DataFrame | None:
        who = self.label if path == job.rows else f"{self.label} validation"
        rows = read_rows(path, job, who=who)
        if rows is None:
            return None
        made = {}
        for column, wanted in (("prompt", self.max_length), ("completion", self.max_target_length)):
            limit = self._limit(wanted, model, tokenizer)
            ids = [len(i) for i in tokenizer(rows[column].cast(pl.String).to_list())["input_ids"]]
            rows = leave_out(rows, [i for i, n in enumerate(ids) if n == 0], why=f"have an empty {column}, which is no token", who=who, job=job)
            rows = fit_length(rows, [n for n in ids if n], limit=limit, policy=self.too_long, who=who, job=job, column=column)
            made[column] = limit
        texts = {c: rows[c].cast(pl.String).to_list() for c in made}
        inputs = tokenizer(texts["prompt"], truncation=True, max_length=made["prompt"])["input_ids"]
        labels = tokenizer(text_target=texts["completion"], truncation=True, max_length=made["completion"])["input_ids"]
        return pl.DataFrame({"input_ids": inputs, "labels": labels})

    def _limit(self, wanted: int | None, model: Any, tokenizer: Any) -> int:
        context = context_length(model, tokenizer, who=self.label)
        if wanted is None:
            return min(512, context)
        is_relative = getattr(model.config, "relative_attention_num_buckets", None) is not None  # as in T5: any length can be read
        if wanted > context and not is_relative:
            raise TrainingError(f"{self.label}: {wanted} tokens are more than the {context} that the base can read.")
        return wanted
