"""Language models in this process through transformers: causal and seq2seq, with adapters, quantised or not."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dreamframe.errors import MissingExtraError, SettingError
from dreamframe.models.base import LLM, Artefact, Client, TrainedModel, setting, steering
from dreamframe.models.local.chat_template import given_template
from dreamframe.models.local.memory import Resident, n_bytes_of, unload
from dreamframe.models.local.replicas import Replicas, devices_of
from dreamframe.models.local.weights import KeptWeights, Pinned, content_digest, local_weights, weights_identity, weights_path
from dreamframe.models.pinned import OfWeights
from dreamframe.models.provenance import is_repo_id
from dreamframe.models.request import Completion, Request

if TYPE_CHECKING:
    from dreamframe.models.local.batching import Pool
    from dreamframe.models.local.decoder import Engine, Prepared

QUANTIZATIONS = ("8bit", "4bit")
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Transformers(OfWeights, LLM):
    """A language model in this process. Needs `pip install 'dreamframe[local]'`.

    `model` is a folder, a GGUF file (converted once), a Hub id (its `revision` resolved to a commit), or a model that the plan trains. `adapter` is a
    folder or a model that the plan trains. `quantization` is "8bit" or "4bit" (nf4), by bitsandbytes. `dtype` is float32 on a CPU and the weights' own
    elsewhere. `chat_template` replaces the model's own: one over `messages`, or one of a prompt, such as "Q: {{prompt}} A:" (`{{system_prompt}}` where
    that shall go), as trainers take it; a model that has none continues the prompt. `trust_remote_code=True` lets a model run the code
    that it comes with.

    Up to `concurrency` requests are pooled and decoded in batches of similar length of at most `batch_tokens` tokens, padding and answer included;
    that budget halves when memory runs out. A request's answer does not depend on its batch but for rounding, where two tokens are all but
    equally likely. `extra` knows top_k, min_p, repetition_penalty and chat_template_kwargs.

    >>> dr.Transformers("HuggingFaceTB/SmolLM2-135M-Instruct", temperature=0).label
    'SmolLM2-135M-Instruct'
    """

    model: Any
    adapter: Any = setting()
    quantization: str | None = setting()
    dtype: str | None = setting()
    revision: str | None = setting()
    chat_template: str | None = setting()
    trust_remote_code: bool = setting(False)
    device: Any = steering()  # "cuda:0"; a list: a process for each; "auto": layers spread over all; None: the best there is
    threads: int | None = steering()  # on a CPU; None: the cores that are free when the model is loaded
    batch_tokens: int | None = steering()
    concurrency: int = steering(128)

    provider: ClassVar[str] = "transformers"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "device", devices_of(self.device, who="Transformers"))
        if isinstance(self.model, LLM):  # the settings of another engine for the same weights
            object.__setattr__(self, "model", self.model.model)
        object.__setattr__(self, "chat_template", given_template(self.chat_template, "Transformers"))
        for name in ("model", "adapter"):
            if isinstance(value := getattr(self, name), Path):
                object.__setattr__(self, name, str(value))
        if self.quantization not in (None, *QUANTIZATIONS):
            raise SettingError(f"Transformers: quantization={self.quantization!r} is not one of {', '.join(map(repr, QUANTIZATIONS))}.")
        if self.dtype not in (None, *DTYPES):
            raise SettingError(f"Transformers: dtype={self.dtype!r} is not one of {', '.join(map(repr, DTYPES))}.")
        for name in ("batch_tokens", "concurrency", "threads"):
            if (value := getattr(self, name)) is not None and (not isinstance(value, int) or value < 1):
                raise SettingError(f"Transformers: {name}={value!r}; give a whole number of 1 or more.")

    @property
    def label(self) -> str:
        return _shown(self.model) + (f" + {_shown(self.adapter)}" if self.adapter is not None else "")

    def identity_fields(self) -> Mapping[str, object]:
        seen = dict(super().identity_fields())
        revision = seen.pop("revision")
        if isinstance(self.model, str):
            seen["model"] = weights_identity(self.model, revision, token=self.hub_token)  # type: ignore[arg-type]
        if isinstance(self.adapter, str):
            seen["adapter"] = adapter_identity(self.adapter, self.hub_token)
        return seen

    def pool_key(self) -> str:
        own = [self.quantization, self.dtype, self.revision, self.chat_template, self.trust_remote_code]
        steered = [self.device, self.threads, self.batch_tokens, self.concurrency]
        return f"transformers {self.weights_key()} {own} {steered}"

    def unload(self) -> bool:
        """Give back the memory of the loaded model; the next request loads it again. False where it was not loaded."""
        return unload(self)

    def open(self) -> Client:
        for library in ("torch", "transformers"):
            if importlib.util.find_spec(library) is None:
                raise MissingExtraError(library, extra="local", needed_for="dr.Transformers")
        return Replicas(self, self.device) if isinstance(self.device, tuple) else TransformersClient(self)


def adapter_folder(adapter: str, token: bool | None = None) -> Path:
    """The folder of an adapter, or of an adapter's repository on the Hub, downloaded at its commit. Raises SettingError for anything else."""
    folder = adapter.path() if isinstance(adapter, KeptWeights) else Path(adapter).expanduser()
    if folder is None or (not folder.exists() and is_repo_id(adapter)):
        folder = local_weights(adapter, token=token)
    if not (folder / "adapter_config.json").exists():
        raise SettingError(f"Transformers: adapter={adapter!r} is not the folder of an adapter: it has no adapter_config.json.")
    return folder


def adapter_identity(adapter: str, token: bool | None = None) -> object:
    """What an adapter is: the digest of its files."""
    return adapter.identity if isinstance(adapter, KeptWeights | Pinned) else content_digest(adapter_folder(adapter, token))


def _shown(model: str | Artefact | TrainedModel) -> str:
    if isinstance(model, Artefact):
        return Path(model.path).name
    if isinstance(model, str):
        return model.rstrip("/").rpartition("/")[2]
    return str(model.step.label)


def _place(model: Any) -> str | None:
    return model.path if isinstance(model, Artefact) else model


class TransformersClient(Resident[Any]):
    """The loaded model and the pool of requests that wait for it."""

    settings: Transformers

    async def answer(self, engine: tuple[Engine, Pool[Prepared, Completion]], request: Request) -> Completion:
        reader, pool = engine
        prepared = reader.prepare(request)
        try:
            return await pool.submit(prepared, prepared.length)
        finally:
            prepared.is_wanted = False  # a cancelled request leaves its batch at the next token

    async def release(self, engine: tuple[Engine, Pool[Prepared, Completion]]) -> None:
        reader, pool = engine
        reader.closing.set()
        await pool.close()
        reader.release()

    @property
    def n_bytes(self) -> int:
        found = weights_path(_place(self.settings.model) or "")
        return 0 if found is None else n_bytes_of(found)

    def load(self) -> tuple[Engine, Pool[Prepared, Completion]]:
        from dreamframe.models.local import decoder as torch_engine
        from dreamframe.models.local import loading as hf_loading
        from dreamframe.models.local.batching import Pool

        llm = self.settings
        loaded = hf_loading.load(
            _place(llm.model) or "",
            adapter=None if llm.adapter is None else str(adapter_folder(_place(llm.adapter) or "", llm.hub_token)),
            quantization=llm.quantization,
            device=llm.device,
            dtype=llm.dtype,
            revision=llm.revision,
            trust_remote_code=llm.trust_remote_code,
            token=llm.hub_token,
            who="Transformers",
        )
        reader = torch_engine.Engine(loaded, label=llm.label, chat_template=llm.chat_template, threads=llm.threads)
        budget = llm.batch_tokens or torch_engine.default_budget(loaded.model)
        return reader, Pool(reader.answer, budget=budget, is_out_of_memory=reader.is_out_of_memory, name=llm.label)
