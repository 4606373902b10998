"""A loaded sequence classifier that reads batches of texts. Imports torch: import it on a worker thread only."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from dreamframe.errors import CallError, ContextLengthError, MissingExtraError, SettingError, listed
from dreamframe.models.local.cores import free_cores
from dreamframe.models.local.loading import best_device, context_of, free_memory, is_out_of_memory
from dreamframe.models.local.memory import own_memory
from dreamframe.models.local.quiet import quiet
from dreamframe.models.local.settings import ToLoad
from dreamframe.models.request import Completion, Request
from dreamframe.models.task_models.base import Reading, labels_of, prediction, predictions, wants_scores, with_scores

CPU_TOKENS, GPU_TOKENS = 1024, 16384  # a batch's budget, padding included


@dataclass(frozen=True)
class Text:
    """A text as the model reads it: once, or once a label (zero-shot)."""

    inputs: tuple[dict[str, list[int]], ...]
    labels: tuple[str, ...]  # those that it may get
    outputs: tuple[int, ...]  # where the model answers about them; empty for zero-shot
    n_tokens: int
    has_scores: bool = False  # whether the answer tells those of all labels


class Reader:
    """The model, its labels and its limits."""

    is_out_of_memory = staticmethod(is_out_of_memory)
    cut = "only_first"  # of a text and a hypothesis: the text

    def __init__(self, model: Any, tokenizer: Any, reading: Reading, labels: Sequence[str]) -> None:
        self._model, self._tokenizer, self._reading = model, tokenizer, reading
        self._labels = tuple(labels)
        lower = [label.lower() for label in labels]
        self._entails = next((i for i, label in enumerate(lower) if label.startswith("entail")), None)
        self._contradicts = next((i for i, label in enumerate(lower) if label.startswith(("contradict", "not_entail", "not entail"))), None)
        self._limit = context_of(model.config, tokenizer)
        on_cpu = model.device.type == "cpu"
        self.default_budget = CPU_TOKENS if on_cpu else GPU_TOKENS
        self._threads = reading.threads or (free_cores() if on_cpu else None)

    @classmethod
    def of(cls, weights: ToLoad, reading: Reading) -> Reader:
        """Load the weights onto their device."""
        device, adapter = weights.device or best_device(), weights.adapter
        trust = {"trust_remote_code": weights.trust_remote_code}
        with quiet():
            folder = weights.folder()
            if not (folder / "config.json").exists():
                raise SettingError(f"{weights.who}: {folder} holds no model: it has no config.json.")
            labels = _trained_labels(adapter)
            named = {"id2label": dict(enumerate(labels)), "label2id": {v: i for i, v in enumerate(labels)}} if labels else {}
            config = AutoConfig.from_pretrained(folder, **trust, **named)
            dtype = weights.dtype or ("float32" if device == "cpu" else "auto")
            options = {"output_loading_info": True, "ignore_mismatched_sizes": adapter is not None}  # an adapter brings its own head
            model, missing = AutoModelForSequenceClassification.from_pretrained(folder, config=config, dtype=dtype, **options, **trust)
            if adapter is None and missing["missing_keys"]:
                raise SettingError(
                    f"{weights.who}: {reading.label} is not a classifier: it has no weights for {listed(sorted(missing['missing_keys']), most=3)}."
                )
            own = adapter is not None and (adapter / "tokenizer_config.json").exists()
            tokenizer = AutoTokenizer.from_pretrained(adapter if own else folder, **trust)
            tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
            model.config.pad_token_id = tokenizer.pad_token_id
            if adapter is not None:
                model = _with_adapter(model, adapter)
        found = [str(model.config.id2label[i]) for i in range(model.config.num_labels)]
        return cls(own_memory(model.to(device).eval()), tokenizer, reading, found)

    def prepare(self, request: Request) -> Text:
        """The text as tokens. Raises SettingError for labels that the model does not know, ContextLengthError for a text that is too long."""
        return replace(self._prepared(request), has_scores=wants_scores(request.question))

    def _prepared(self, request: Request) -> Text:
        asked = labels_of(request.question)
        if asked is None:
            return self._text([self._encoded(request.prompt)], self._labels, tuple(range(len(self._labels))))
        if set(asked) <= set(self._labels):
            return self._text([self._encoded(request.prompt)], tuple(asked), tuple(self._labels.index(label) for label in asked))
        if self._entails is None:
            raise SettingError(f"{self._reading.label}: it tells {listed(self._labels)}, and was not trained on entailment, so it cannot tell {listed(asked)}.")
        return self._text([self._encoded(request.prompt, self._reading.hypothesis.format(label)) for label in asked], tuple(asked), ())

    def _encoded(self, text: str, pair: str | None = None) -> dict[str, list[int]]:
        inputs = dict(self._tokenizer(text, pair, verbose=False))
        n_tokens = len(inputs["input_ids"])
        if self._limit is not None and n_tokens > self._limit:
            if not self._reading.truncate:
                raise ContextLengthError(
                    f"{self._reading.label}: the text has {n_tokens} tokens, and the model reads {self._limit}; truncate=True reads its beginning"
                )
            inputs = dict(self._tokenizer(text, pair, truncation=self.cut, max_length=self._limit))
        return inputs

    def _text(self, inputs: list[dict[str, list[int]]], labels: tuple[str, ...], outputs: tuple[int, ...]) -> Text:
        return Text(tuple(inputs), labels, outputs, sum(len(i["input_ids"]) for i in inputs))

    def answer(self, batch: Sequence[Text]) -> list[Completion | CallError]:
        """The labels and scores of a batch, in order."""
        if self._threads is not None:
            torch.set_num_threads(self._threads)  # of this thread's work only
        try:
            logits = self._logits([i for t in batch for i in t.inputs])  # (inputs, outputs) float32
        except Exception as exc:
            if is_out_of_memory(exc):
                gc.collect()
                free_memory()
            raise
        made: list[Completion | CallError] = []
        at = 0
        for text in batch:
            made.append(self._completion(text, logits[at : at + len(text.inputs)]))
            at += len(text.inputs)
        return made

    def _logits(self, inputs: Sequence[dict[str, list[int]]]) -> torch.Tensor:
        padded = self._tokenizer.pad({k: [i[k] for i in inputs] for k in inputs[0]}, return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            return self._model(**padded).logits.float().cpu()

    def _completion(self, text: Text, logits: torch.Tensor) -> Completion:
        """The best label with its share among those asked about, or all labels that reach the threshold, each by itself."""
        reading = self._reading
        if text.outputs:
            values = logits[0, list(text.outputs)]
            alone = values.sigmoid()
        else:  # zero-shot: how far each hypothesis follows from the text
            values = logits[:, self._entails]
            against = logits[:, self._contradicts] if self._contradicts is not None else torch.zeros_like(values)
            alone = torch.stack([against, values]).softmax(0)[1]
        if reading.multi_label:
            chosen = [(label, float(s)) for label, s in zip(text.labels, alone, strict=True) if s >= reading.threshold]
            answer, scores = predictions(chosen), alone
        else:
            shares = values.softmax(-1) if len(text.labels) > 1 else alone
            best = int(shares.argmax())
            answer, scores = prediction(text.labels[best], float(shares[best])), shares
        if text.has_scores:
            answer = with_scores(answer, list(zip(text.labels, scores.tolist(), strict=True)))
        return Completion(answer, n_in=text.n_tokens, model=reading.label)

    def release(self) -> None:
        """Let go of the weights."""
        self._model = self._tokenizer = None
        gc.collect()
        free_memory()


def _trained_labels(adapter: Path | None) -> list[str]:
    """The labels that an adapter was trained on: by its config, which is part of what it is, or as the training of an older one recorded them."""
    if adapter is None:
        return []
    for name in ("config.json", "training.json"):
        held = json.loads((adapter / name).read_text()) if (adapter / name).exists() else {}
        if (numbered := held.get("id2label")) is not None:
            return [str(numbered[i]) for i in sorted(numbered, key=int)]
        if (labels := held.get("labels")) is not None:
            return list(labels)
    return []


def _with_adapter(model: Any, adapter: Path) -> Any:
    try:
        from peft import PeftModel
    except ImportError as exc:
        raise MissingExtraError("peft", extra="train", needed_for="adapter= of HFClassifier") from exc
    return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
