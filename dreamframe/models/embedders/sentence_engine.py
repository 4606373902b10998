"""A loaded sentence-transformers model that encodes batches of texts. Imports torch: import it on a worker thread only."""

from __future__ import annotations

import copy
import gc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer as Model

from dreamframe.errors import BadRequestError, CallError, ContextLengthError, PermanentCallError, SettingError
from dreamframe.models.embedders.base import Encoding
from dreamframe.models.embedders.onnx import use_onnx
from dreamframe.models.local.cores import free_cores
from dreamframe.models.local.loading import best_device, free_memory, is_out_of_memory
from dreamframe.models.local.memory import own_memory
from dreamframe.models.local.quiet import quiet
from dreamframe.models.local.settings import ToLoad
from dreamframe.models.local.weights import content_digest
from dreamframe.models.pinned import changed
from dreamframe.models.request import Completion

CPU_TOKENS, GPU_TOKENS = 512, 16384  # a batch's budget, padding included


@dataclass(frozen=True)
class Text:
    """A text, and the tokens that the model reads of it."""

    text: str
    n_tokens: int


class Encoder:
    """The model, its prompt and its limits."""

    is_out_of_memory = staticmethod(is_out_of_memory)

    def __init__(self, model: Any, how: Encoding) -> None:
        self._model, self._how = model, how
        self._tokenizer = copy.deepcopy(model.tokenizer)  # to count with: a tokenizer holds how its last call padded, and encode() calls its own
        self._prompt = self._chosen_prompt()
        own = model.max_seq_length
        self._limit = min((n for n in (own, how.max_tokens) if n), default=None)
        if self._limit is not None and own is not None:
            model.max_seq_length = self._limit
        on_cpu = model.device.type == "cpu"
        self.default_budget = CPU_TOKENS if on_cpu else GPU_TOKENS
        self._threads = how.threads or (free_cores() if on_cpu else None)
        found = model.get_embedding_dimension()
        if found is not None and how.dim > found:
            raise SettingError(f"{how.label}: dimensions={how.dim}, but its vectors have {found}.")

    @classmethod
    def of(cls, weights: ToLoad, how: Encoding) -> Encoder:
        """Load the weights onto their device."""
        device = weights.device or best_device()
        dtype = weights.dtype or ("float32" if device == "cpu" else "auto")
        with quiet():
            folder = weights.folder()
            trust = {"trust_remote_code": weights.trust_remote_code, "local_files_only": True}
            may_be_onnx = how.backend != "torch" and device == "cpu" and dtype == "float32"
            digest = content_digest(folder) if may_be_onnx else ""
            model = own_memory(Model(str(folder), device=device, model_kwargs={"dtype": dtype}, **trust).eval())
            if may_be_onnx:
                if content_digest(folder) != digest:  # a graph of the old weights must never be kept for the new ones
                    raise changed(how, str(folder))
                threads = how.threads or free_cores()
                use_onnx(model, digest, threads=threads, must=how.backend == "onnx", who=how.label)
            elif how.backend == "onnx":
                raise SettingError(f"{how.label}: backend='onnx' is for a CPU and dtype='float32', not for {device} and {dtype}.")
        return cls(model, how)

    def _chosen_prompt(self) -> str:
        """The text that stands before every other: given, named, or the model's default."""
        how, own = self._how, dict(self._model.prompts or {})
        if how.prompt is not None:
            return how.prompt
        name = how.prompt_name or self._model.default_prompt_name
        if name is not None and name not in own:
            raise SettingError.unknown(name, possible=own, where=f"{how.label}: prompt_name")
        return str(own[name]) if name is not None else ""

    def prepare(self, text: str) -> Text:
        """The text with its length. Raises ContextLengthError where it is too long and may not be cut, BadRequestError where nothing is to be read."""
        n_tokens, limit = self._count(self._prompt + text), self._limit
        if n_tokens == 0:
            raise BadRequestError(f"{self._how.label}: the text is empty, and this model's tokenizer adds nothing to it; drop such rows first")
        if limit is not None and n_tokens > limit:
            if not self._how.truncate:
                raise ContextLengthError(f"{self._how.label}: the text has {n_tokens} tokens, and the model reads {limit}; truncate=True embeds its beginning")
            n_tokens = limit
        return Text(text, n_tokens)

    def _count(self, text: str) -> int:
        if callable(self._tokenizer):
            return len(self._tokenizer(text, verbose=False)["input_ids"])
        return len(self._tokenizer.encode(text).ids)  # a bare tokenizer, of static embeddings

    def answer(self, batch: Sequence[Text]) -> list[Completion | CallError]:
        """The vectors of a batch, in order."""
        if self._threads is not None:
            torch.set_num_threads(self._threads)  # of this thread's work only
        how = self._how
        try:
            vectors = self._model.encode(
                [t.text for t in batch],
                prompt=self._prompt,
                batch_size=len(batch),
                show_progress_bar=False,
                convert_to_tensor=True,
                normalize_embeddings=how.normalize,
                truncate_dim=how.dimensions,
            )
        except Exception as exc:
            if is_out_of_memory(exc):
                gc.collect()
                free_memory()
            raise
        rows = vectors.float().cpu().numpy().astype("<f4")
        return [self._completion(row, text) for row, text in zip(rows, batch, strict=True)]

    def _completion(self, vector: Any, text: Text) -> Completion | CallError:
        label = self._how.label
        if not np.isfinite(vector).all():
            return PermanentCallError(f"{label}: the vector holds something that is not a number; dtype='float32' has the range")
        return Completion(None, data=vector.tobytes(), n_in=text.n_tokens, model=label)

    def release(self) -> None:
        """Let go of the weights."""
        self._model = self._tokenizer = None
        gc.collect()
        free_memory()
