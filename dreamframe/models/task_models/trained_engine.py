"""Loaded reward models and few-shot classifiers. Imports torch: import it on a worker thread only."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

import torch

from dreamframe.errors import BadRequestError, ContextLengthError, SettingError
from dreamframe.models.local.cores import free_cores
from dreamframe.models.local.loading import best_device
from dreamframe.models.local.memory import own_memory
from dreamframe.models.local.quiet import quiet
from dreamframe.models.local.settings import ToLoad
from dreamframe.models.request import Completion
from dreamframe.models.task_models.base import Reading, prediction
from dreamframe.models.task_models.hf_engine import CPU_TOKENS, GPU_TOKENS, Reader, Text


class RewardReader(Reader):
    """A sequence classifier with one output: the reward itself, without a scale."""

    @classmethod
    def of(cls, weights: ToLoad, reading: Reading) -> Reader:
        made = super().of(weights, reading)
        if len(made._labels) != 1:
            raise SettingError(f"{weights.who}: {reading.label} tells {len(made._labels)} labels; a reward model has one output.")
        return made

    def _encoded(self, text: str, pair: str | None = None) -> dict[str, list[int]]:  # noqa: ARG002  a reward has no hypotheses
        chat, end = _chat(text), self._tokenizer.eos_token or ""
        if chat is not None and self._tokenizer.chat_template:
            ids = self._tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False)
        else:
            ids = self._tokenizer(text if text.endswith(end) else text + end, verbose=False)["input_ids"]
        if self._limit is not None and len(ids) > self._limit:
            if not self._reading.truncate:
                raise ContextLengthError(f"{self._reading.label}: the text has {len(ids)} tokens, and the model reads {self._limit}; truncate=True cuts it")
            ids = ids[: self._limit]
        return {"input_ids": ids, "attention_mask": [1] * len(ids)}

    def _completion(self, text: Text, logits: torch.Tensor) -> Completion:
        return Completion(prediction("reward", float(logits[0, 0])), n_in=text.n_tokens, model=self._reading.label)


class PairReader(Reader):
    """A sequence classifier that reads two texts together; with one output, that is a score from 0 to 1."""

    cut = "longest_first"

    def _encoded(self, text: str, pair: str | None = None) -> dict[str, list[int]]:  # noqa: ARG002  the text holds both
        first, second = _pair(text, self._reading.label)
        return super()._encoded(first, second)

    def _completion(self, text: Text, logits: torch.Tensor) -> Completion:
        if len(self._labels) > 1:
            return super()._completion(text, logits)
        return Completion(prediction("score", float(logits[0, 0].sigmoid())), n_in=text.n_tokens, model=self._reading.label)


class SentenceReader(Reader):
    """A sentence-transformers model whose last layer gives a logit for each label of `labels.json`."""

    def __init__(self, model: Any, reading: Reading, labels: Sequence[str]) -> None:
        self._model, self._tokenizer, self._reading, self._labels = model, model.tokenizer, reading, tuple(labels)
        self._entails = self._contradicts = None
        self._limit = model.max_seq_length
        on_cpu = model.device.type == "cpu"
        self.default_budget = CPU_TOKENS if on_cpu else GPU_TOKENS
        self._threads = reading.threads or (free_cores() if on_cpu else None)

    @classmethod
    def of(cls, weights: ToLoad, reading: Reading) -> Reader:
        from sentence_transformers import SentenceTransformer

        with quiet():
            folder = weights.folder()
            if not (folder / "labels.json").exists():
                raise SettingError(f"{weights.who}: {folder} holds no few-shot classifier: it has no labels.json.")
            labels = json.loads((folder / "labels.json").read_text())["labels"]
            model = SentenceTransformer(str(folder), device=weights.device or best_device(), local_files_only=True)
        return cls(own_memory(model.eval()), reading, labels)

    def _logits(self, inputs: Sequence[dict[str, list[int]]]) -> torch.Tensor:
        padded = self._tokenizer.pad({k: [i[k] for i in inputs] for k in inputs[0]}, return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            logits: torch.Tensor = self._model(dict(padded))["sentence_embedding"]
        return logits.float().cpu()


def _pair(text: str, who: str) -> tuple[str, str]:
    """The two texts of a JSON list. Raises BadRequestError for anything else."""
    with contextlib.suppress(ValueError):
        held = json.loads(text)
        if isinstance(held, list) and len(held) == 2 and all(isinstance(t, str) for t in held):
            return held[0], held[1]
    raise BadRequestError(f'{who} reads pairs of texts; give a column of lists of two, such as pl.concat_list("query", "doc")')


def _chat(text: str) -> list[dict[str, str]] | None:
    """The messages of a chat; None for any other text."""
    if not text.startswith("["):
        return None
    try:
        held = json.loads(text)
    except ValueError:
        return None
    is_chat = isinstance(held, list) and all(isinstance(m, dict) and {"role", "content"} <= set(m) for m in held)
    return held if is_chat else None
