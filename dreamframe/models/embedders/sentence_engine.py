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
SHORT = ["a", "two words"]  # of other lengths, and no model cuts them


@dataclass(frozen=True)
class Text:
    """A text, and the tokens that the model reads of it."""

    text: str
    n_tokens: int
    tokens: list[int] | None  # None where the library cuts it or reads it otherwise


@dataclass(frozen=True)
class Features:
    """What a model reads of a batch: tensors made of tokens alone, and what is the same for every batch."""

    tensors: frozenset[str]
    others: dict[str, Any]


def more_features(model: Any, prompt: str, tokens: Sequence[list[int]]) -> Features | None:
    """How to make a batch of tokens what the library makes of the texts; None where that gives another one, so that only the library can read for it.

    It saves reading every text twice: once to know its length, and once in its batch.
    """
    try:
        made = dict(model.preprocess(SHORT, prompt=prompt))
        ours = padded(tokens, model.tokenizer.pad_token_id)
    except (AttributeError, TypeError, ValueError):  # a bare tokenizer, or one without padding
        return None
    tensors = {name: held for name, held in made.items() if isinstance(held, torch.Tensor)}
    others = {name: held for name, held in made.items() if name not in tensors}
    is_same = {"input_ids", "attention_mask"} <= set(tensors) <= set(ours) and all(torch.equal(ours[name], held) for name, held in tensors.items())
    return Features(frozenset(tensors), others) if is_same and all(isinstance(v, str | int) for v in others.values()) else None


def padded(tokens: Sequence[list[int]], pad: int) -> dict[str, torch.Tensor]:
    """Tokens as tensors, padded on the right: (rows, tokens)."""
    longest = max(map(len, tokens))
    ids = torch.tensor([t + [pad] * (longest - len(t)) for t in tokens])
    mask = torch.tensor([[1] * len(t) + [0] * (longest - len(t)) for t in tokens])
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}


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
        self._more = more_features(model, self._prompt, [self._read(self._prompt + t) for t in SHORT])

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
        tokens, limit = self._read(self._prompt + text), self._limit
        n_tokens, is_whole = len(tokens), True
        if n_tokens == 0:
            raise BadRequestError(f"{self._how.label}: the text is empty, and this model's tokenizer adds nothing to it; drop such rows first")
        if limit is not None and n_tokens > limit:
            if not self._how.truncate:
                raise ContextLengthError(f"{self._how.label}: the text has {n_tokens} tokens, and the model reads {limit}; truncate=True embeds its beginning")
            n_tokens, is_whole = limit, False
        return Text(text, n_tokens, tokens if is_whole and self._more is not None else None)

    def _read(self, text: str) -> list[int]:
        if callable(self._tokenizer):
            return list(self._tokenizer(text, verbose=False)["input_ids"])
        return list(self._tokenizer.encode(text).ids)  # a bare tokenizer, of static embeddings

    def answer(self, batch: Sequence[Text]) -> list[Completion | CallError]:
        """The vectors of a batch, in order."""
        if self._threads is not None:
            torch.set_num_threads(self._threads)  # of this thread's work only
        try:
            vectors = self._vectors(batch)
        except Exception as exc:
            if is_out_of_memory(exc):
                gc.collect()
                free_memory()
            raise
        rows = vectors.float().cpu().numpy().astype("<f4")
        return [self._completion(row, text) for row, text in zip(rows, batch, strict=True)]

    def _vectors(self, batch: Sequence[Text]) -> torch.Tensor:
        how, read = self._how, [t.tokens for t in batch if t.tokens is not None]
        if self._more is None or len(read) < len(batch):
            made: torch.Tensor = self._model.encode(
                [t.text for t in batch],
                prompt=self._prompt,
                batch_size=len(batch),
                show_progress_bar=False,
                convert_to_tensor=True,
                normalize_embeddings=how.normalize,
                truncate_dim=how.dimensions,
            )
            return made
        with torch.inference_mode():
            features = {name: held.to(self._model.device) for name, held in padded(read, self._tokenizer.pad_token_id).items() if name in self._more.tensors}
            vectors = self._model({**self._more.others, **features})["sentence_embedding"][:, : how.dimensions]
            return torch.nn.functional.normalize(vectors, p=2, dim=1) if how.normalize else vectors

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
