"""Supervised fine-tuning: the model learns to write the completions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl

from dreamframe.errors import SettingError, TrainingError
from dreamframe.models.base import setting
from dreamframe.trainers import hf
from dreamframe.trainers.chat import ChatTrainer, tokens
from dreamframe.trainers.job import TrainJob, leave_out
from dreamframe.trainers.loading import adapter_config, load_model, row_limit
from dreamframe.trainers.quiet import alone
from dreamframe.trainers.roles import CHAT, MESSAGES, TEXT, Roles
from dreamframe.trainers.thoughts import THOUGHTS, field_of_thoughts, masked, need_shown

FEW_CHARACTERS = 200  # more than any token has


@dataclass(frozen=True)
class SFT(ChatTrainer):
    """Fine-tune a language model on prompts and completions, on chats, or on plain text.

    Columns: `prompt, completion` (the loss counts the completion only), `messages` (a list of role and content; the loss counts all of it, or with
    `loss_on="assistant"` the turns that the chat template marks with {% generation %}; beside it `tools`, the JSON text of what the template tells of tools),
    or `text`. Messages may have thoughts (the field `reasoning_content` or `thinking`, as `converse(reasoning=…)` makes it): they are learnt as the chat
    template shows them, with `thoughts="masked"` only read; a template that shows none is refused.
    Texts become chats where the tokenizer has a chat template, so that the model is asked later as it was trained; `chat_template=False` keeps
    them raw. A template over `prompt`, such as `"### Instruction:\\n{{prompt}}\\n\\n### Response:\\n"`, becomes the tokenizer's.
    `init="scratch"` starts from new weights (pre-training). Rows longer than `max_length` (1024, never more than the context) are cut and counted.

    Raises SettingError for settings that do not fit together, when it is made; `df.train(dr.SFT(…), …)` checks the columns, and trains nothing yet.

    >>> rows = dr.frame({"question": ["2+2?"], "answer": ["4"]})
    >>> model = rows.train(dr.SFT("me/base", steps=100, peft={"r": 8}), prompt="question", completion="answer")
    >>> print(model.explain())
    TRAIN SFT me/base on completion=answer prompt=question
      TABLE 1 rows
    """

    packing: bool = setting(False)  # several rows in one sequence
    thoughts: Literal["masked"] | None = setting(is_later=True)  # masked: those of `messages` are read and not learnt; None: they are learnt as all else
    loss_on: Literal["completion", "assistant", "all"] = setting("completion")  # what is learnt: the completion, all turns of the assistant, or all
    neftune: float | None = setting()  # noise on embeddings, https://arxiv.org/abs/2310.05914

    parts_weights: ClassVar[bool] = True
    config: ClassVar[str] = "trl.trainer.sft_config:SFTConfig"
    ways: ClassVar[tuple[Roles, ...]] = (
        Roles({"prompt": CHAT, "completion": CHAT}), Roles({"messages": MESSAGES, "tools": TEXT}, optional=("tools",)), Roles({"text": TEXT}),
    )  # fmt: skip
    owned: ClassVar[Mapping[str, str]] = {**ChatTrainer.owned, "packing": "packing=", "neftune_noise_alpha": "neftune=", "assistant_only_loss": "loss_on="}

    def _refuse_impossible(self) -> None:
        super()._refuse_impossible()
        if self.loss_on not in ("completion", "assistant", "all"):
            raise SettingError(f"SFT: loss_on={self.loss_on!r} is not 'completion', 'assistant' or 'all'.")
        if self.thoughts not in (None, "masked"):
            raise SettingError(f"SFT: thoughts={self.thoughts!r} is not 'masked'; leave it out, and they are learnt.")

    def check(self, columns: Mapping[str, str], schema: pl.Schema, *, has_validation: bool = True) -> None:
        super().check(columns, schema, has_validation=has_validation)
        messages = self.roles(columns, schema).get("messages")
        if self.thoughts is not None and (messages is None or field_of_thoughts(schema[messages]) is None):
            raise SettingError(
                f"SFT: thoughts={self.thoughts!r} is of messages that have thoughts: a column messages= whose field {' or '.join(THOUGHTS)} holds them, as "
                "df.converse(…, reasoning='reasoning_content') makes it."
            )

    def fit(self, job: TrainJob) -> dict[str, Any]:
        from transformers import AutoModelForCausalLM
        from trl.trainer.sft_config import SFTConfig
        from trl.trainer.sft_trainer import SFTTrainer

        with alone():
            tokenizer = self.chat_tokenizer(job)
            self._need_marks(tokenizer)
            model = load_model(self, job, AutoModelForCausalLM)
            limit = row_limit(self, model, tokenizer, default=1024)
            rows, validation = (self._learnable(path, job, tokenizer, limit) for path in (job.rows, job.validation))
            assert rows is not None
            args = hf.arguments(
                self, job, max_length=limit, packing=self.packing, neftune_noise_alpha=self.neftune,
                assistant_only_loss=self.loss_on == "assistant" and self.thoughts is None, completion_only_loss=None if self.loss_on == "completion" else False,
            )  # fmt: skip
            trainer = SFTTrainer(
                model=model,
                args=SFTConfig(**args),
                train_dataset=self._dataset(rows, tokenizer),
                eval_dataset=self._dataset(validation, tokenizer),
                processing_class=tokenizer,
                peft_config=adapter_config(self, task="CAUSAL_LM"),
                callbacks=hf.callbacks(self, job),
            )
            if len(hf.prepared(trainer)) == 0:
                raise TrainingError(f"SFT: in every row the prompt alone fills the {limit} tokens; raise max_length or shorten the prompts.")
            return hf.run(trainer, self, job, n_rows=rows.height, row_by_row=not self.packing)

    def _learnable(self, path: Path | None, job: TrainJob, tokenizer: Any, limit: int) -> pl.DataFrame | None:
        """The rows of a file without those in which no token follows another, or in which the assistant, whose turns alone are learnt, says nothing."""
        rows: pl.DataFrame | None = self.chat_rows(path, job, tokenizer, limit)
        who = self.label if path == job.rows else f"{self.label} validation"
        if rows is not None and "messages" in rows.columns:
            need_shown(rows, tokenizer, who=who, job=job)
        if rows is not None and "text" in rows.columns and not self.packing:
            few = (rows["text"].str.len_chars() < FEW_CHARACTERS).arg_true().to_list()  # the others have two tokens for certain
            read = tokens(tokenizer, rows[few].select("text"), ends=True) if few else []
            short = [i for i, ids in zip(few, read, strict=True) if len(ids) < 2] if limit > 1 else list(range(rows.height))
            return leave_out(rows, short, why="hold no two tokens, of which the second could be learnt", who=who, job=job)
        if rows is not None and "messages" in rows.columns and self.loss_on == "assistant":
            silent = [i for i, chat in enumerate(rows["messages"].to_list()) if all(m["role"] != "assistant" for m in chat)]
            return leave_out(rows, silent, why="hold no turn of the assistant", who=who, job=job)
        return rows

    def _dataset(self, rows: pl.DataFrame | None, tokenizer: Any) -> Any:
        """Rows as the library reads them; it has no word for thoughts that are not learnt, and is then given the labels of the tokens."""
        if rows is None or self.thoughts is None:
            return hf.dataset(rows)
        is_marked = "{% generation" in (tokenizer.chat_template or "")
        template = None
        if self.loss_on == "assistant" and not is_marked:
            from trl.chat_template_utils import get_training_chat_template

            template = get_training_chat_template(tokenizer)
        return masked(rows, tokenizer, template=template, assistant_only=self.loss_on == "assistant")

    def _need_marks(self, tokenizer: Any) -> None:
        """Raise where the assistant's turns cannot be told from the others."""
        if self.loss_on != "assistant":
            return
        from trl.chat_template_utils import get_training_chat_template

        try:
            patched = tokenizer.chat_template and get_training_chat_template(tokenizer)
        except ValueError:
            patched = None
        if not patched and "{% generation" not in (tokenizer.chat_template or ""):
            raise TrainingError(
                "SFT: loss_on='assistant' needs a chat template that marks the assistant's turns: "
                "chat_template='… {% generation %}{{ message.content }}{% endgeneration %} …'."
            )
