"""The transformer of a sentence-transformers model in onnxruntime: the same vectors, on a CPU a third faster than torch. Imports torch."""

from __future__ import annotations

import importlib.util
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutput

from dreamframe.errors import SettingError
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.models.local.weights import cache_folder

PIP = "pip install onnxruntime onnx"
ENCODERS = {"albert", "bert", "camembert", "distilbert", "electra", "mpnet", "nomic_bert", "roberta", "xlm-roberta"}  # whose export is well trodden
CLOSE = 1e-4  # the most that a number of a vector may differ
TRIAL = ["A text.", "Another one, somewhat longer than the first, with numbers: 1, 2, 3."]


def is_installed() -> bool:
    """Whether onnxruntime is there, and onnx, which torch needs to write a graph."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnxruntime", "onnx"))


def use_onnx(model: Any, digest: str, *, threads: int | None, must: bool, who: str) -> bool:
    """Put onnxruntime in the place of the model's transformer, whose files have this digest; whether it was done.

    It is not where a trial gives other vectors than torch.

    Raises SettingError where it must be done and cannot be.
    """
    transformer = model[0]
    kind = getattr(getattr(transformer.model, "config", None), "model_type", None)
    method = getattr(transformer, "modality_config", {}).get("text", {}).get("method")
    why = None
    if not is_installed():
        why = f"onnxruntime is not installed: {PIP}"
    elif kind not in ENCODERS or method != "forward":
        why = f"a {kind} model is not one of {', '.join(sorted(ENCODERS))}"
    if why is None:
        before = _trial(model)
        torch_model = transformer.model
        transformer.model = OnnxModel(torch_model, _graph(torch_model, digest), threads)
        if (off := float((_trial(model) - before).abs().max())) <= CLOSE:
            return True
        transformer.model = torch_model
        why = f"its vectors differ from torch's by up to {off:.2g}"
        if not must:
            warnings.warn(f"{who}: onnxruntime is not used: {why}", stacklevel=2)
    if must:
        raise SettingError(f"{who}: backend='onnx' is not possible: {why}.")
    return False


def _trial(model: Any) -> torch.Tensor:
    made: torch.Tensor = model.encode(TRIAL, convert_to_tensor=True, show_progress_bar=False)
    return made.float().cpu()


class OnnxModel(torch.nn.Module):
    """Stands where the transformer stood, and answers as it does."""

    def __init__(self, model: Any, graph: Path, threads: int | None) -> None:
        import onnxruntime

        super().__init__()
        self.config = model.config
        self.anchor = torch.nn.Parameter(torch.zeros(1), requires_grad=False)  # by which the library finds device and type
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads sleep
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self._names = [i.name for i in self._session.get_inputs()]

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    @property
    def device(self) -> torch.device:
        return self.anchor.device

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None, **_: Any) -> BaseModelOutput:
        held = {"input_ids": input_ids, "attention_mask": attention_mask}
        held["token_type_ids"] = token_type_ids if token_type_ids is not None else torch.zeros_like(input_ids)
        (states,) = self._session.run(None, {name: held[name].numpy() for name in self._names})
        return BaseModelOutput(last_hidden_state=torch.from_numpy(states))


class _Bare(torch.nn.Module):
    """The transformer as a graph is written of it: two or three tensors in, one out."""

    def __init__(self, model: Any, names: list[str]) -> None:
        super().__init__()
        self.model, self._names = model, names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.model(**dict(zip(self._names, tensors, strict=True))).last_hidden_state
        return states


def _graph(model: Any, digest: str) -> Path:
    """The ONNX file of a model in float32, written once into the cache folder (two seconds for 22M parameters)."""
    done = cache_folder() / "onnx" / f"{fingerprint([digest, torch.__version__])}.onnx"
    if done.exists():
        return done
    done.parent.mkdir(parents=True, exist_ok=True)
    names = ["input_ids", "attention_mask"]
    if getattr(model.config, "type_vocab_size", 0) > 1:
        names.append("token_type_ids")
    ids = torch.tensor([[5, 6, 7, 8], [5, 6, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    held = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    handle, making = tempfile.mkstemp(suffix=".onnx", dir=done.parent)
    os.close(handle)
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter that needs no further library is an older one, and says so
            axes = {name: {0: "rows", 1: "tokens"} for name in (*names, "states")}
            inputs = tuple(held[name] for name in names)
            torch.onnx.export(_Bare(model, names).eval(), inputs, making, input_names=names, output_names=["states"], dynamic_axes=axes, dynamo=False)
        os.replace(making, done)
    finally:
        Path(making).unlink(missing_ok=True)
    return done
