"""Language models in this process through transformers: causal and seq2seq, with adapters, quantised or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dreamframe.errors import SettingError
from dreamframe.models.base import LLM, Client, setting, steering
from dreamframe.models.local.batching import Batcher
from dreamframe.models.local.chat_template import given_template
from dreamframe.models.local.memory import Resident
from dreamframe.models.local.settings import LocalSettings
from dreamframe.models.request import Completion, Request

if TYPE_CHECKING:
    from dreamframe.models.local.batching import Batcher
    from dreamframe.models.local.decoder import Decoder, Prepared

QUANTIZATIONS = ("8bit", "4bit")


@dataclass(frozen=True)
class Transformers(LocalSettings, LLM):
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
    needs_to_hold: ClassVar[tuple[str, ...]] = ("llguidance",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.model, LLM):  # the settings of another engine for the same weights
            object.__setattr__(self, "model", self.model.model)
        object.__setattr__(self, "chat_template", given_template(self.chat_template, "Transformers"))
        self.check_local()
        if self.quantization not in (None, *QUANTIZATIONS):
            raise SettingError(f"Transformers: quantization={self.quantization!r} is not one of {', '.join(map(repr, QUANTIZATIONS))}.")

    def client(self) -> Client:
        return TransformersClient(self)


class TransformersClient(Resident[Any]):
    """The loaded model and the requests that wait for it."""

    settings: Transformers

    async def answer(self, engine: tuple[Decoder, Batcher[Prepared, Completion]], request: Request) -> Completion:
        decoder, batcher = engine
        prepared = decoder.prepare(request)
        try:
            return await batcher.submit(prepared, prepared.length)
        finally:
            prepared.is_wanted = False  # a cancelled request leaves its batch at the next token

    async def release(self, engine: tuple[Decoder, Batcher[Prepared, Completion]]) -> None:
        decoder, batcher = engine
        decoder.closing.set()
        await batcher.close()
        decoder.release()

    @property
    def n_bytes(self) -> int:
        return self.settings.n_bytes

    def load(self) -> tuple[Decoder, Batcher[Prepared, Completion]]:
        from dreamframe.models.local.decoder import Decoder, default_budget
        from dreamframe.models.local.loading import load

        llm = self.settings
        loaded = load(llm.to_load(), quantization=llm.quantization)
        decoder = Decoder(loaded, label=llm.label, chat_template=llm.chat_template, threads=llm.threads)
        budget = llm.batch_tokens or default_budget(loaded.model)
        return decoder, Batcher(decoder.answer, budget=budget, is_out_of_memory=decoder.is_out_of_memory, name=llm.label)
