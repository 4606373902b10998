"""Language models in this process through transformers: causal and seq2seq, with adapters, quantised or not."""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dreamframe.errors import SettingError
from dreamframe.models.base import LLM, Client, setting, steering
from dreamframe.models.local.batching import Batcher
from dreamframe.models.local.chat_template import given_template
from dreamframe.models.local.extras import COUNT, DICT, NUMBER, POSITIVE, SHARE, SOME, Kind, check_extras
from dreamframe.models.local.load_settings import is_config, load_text, quantization_text
from dreamframe.models.local.measured import of_folder
from dreamframe.models.local.memory import Resident
from dreamframe.models.local.replicas import check_replicas
from dreamframe.models.local.settings import LocalSettings
from dreamframe.models.local.weights import weights_path
from dreamframe.models.measure import Measure
from dreamframe.models.menu import MOST_LABELS
from dreamframe.models.request import Completion, Request, Sampling

if TYPE_CHECKING:
    from dreamframe.models.local.batching import Batcher
    from dreamframe.models.local.decoder import Decoder, Prepared

BEAMS = {"length_penalty": NUMBER, "early_stopping": Kind("True, False or 'never'", lambda v: isinstance(v, bool) or v == "never")}  # beside num_beams
EXTRAS = {
    "top_k": COUNT,
    "min_p": SHARE,
    "repetition_penalty": POSITIVE,
    "no_repeat_ngram_size": COUNT,
    "min_new_tokens": COUNT,
    "num_beams": SOME,
    **BEAMS,
    "chat_template_kwargs": DICT,
}


@dataclass(frozen=True)
class Transformers(LocalSettings, LLM):
    """A language model in this process. Needs `pip install 'dreamframe[local]'`.

    `model` is a folder, a GGUF file (converted once), a Hub id (its `revision` resolved to a commit), or a model that the plan trains. `adapter` is a
    folder or a model that the plan trains. `quantization` is "8bit" or "4bit" (nf4), by bitsandbytes, or a configuration object of transformers such as
    `BitsAndBytesConfig(…)`. `dtype` ("bfloat16", torch.bfloat16, "auto") is float32 on a CPU and the weights' own elsewhere. `load` takes
    attn_implementation, max_memory, device_map, low_cpu_mem_usage and use_safetensors for `from_pretrained`: where and how fast, never what.
    `replicas=4` keeps the model in so many processes, which share the rows, the GPUs and the cores; one that dies is started again and loses no row.
    `chat_template` replaces the model's own: one over `messages`, or one of a prompt, such as "Q: {{prompt}} A:" (`{{system_prompt}}` where that shall go),
    as trainers take it; a model that has none continues the prompt. `trust_remote_code=True` lets a model run the code that it comes with.

    Up to `concurrency` requests are pooled and decoded in batches of similar length of at most `batch_tokens` tokens, padding and answer included;
    that budget halves when memory runs out. What prompts of a batch share at their beginning, such as instructions or a document, is read once. A
    request's answer does not depend on its batch but for rounding, where two tokens are all but equally likely. `extra` knows top_k, min_p,
    repetition_penalty, no_repeat_ngram_size and min_new_tokens (tokens), chat_template_kwargs, and for beam search num_beams with length_penalty and
    early_stopping, all as transformers' generate means them; what it does not know is refused. Beams are greedy and write free text: SettingError where a
    temperature, top_p, a bias or a schema shall hold as well. Of a model's own generation config the temperature and its kin are used, its num_beams is not.

    Raises SettingError for settings that do not fit together, when it is made; a run that lacks the library or the weights says so before
    it reads a row.

    >>> dr.Transformers("HuggingFaceTB/SmolLM2-135M-Instruct", temperature=0).label
    'SmolLM2-135M-Instruct'
    """

    model: Any  # a folder, a GGUF file, a Hub id, or a model that the plan trains
    adapter: Any = setting()  # a folder, a Hub id, or a model that the plan trains
    quantization: Any = setting()  # 8bit | 4bit, or a config of transformers
    dtype: Any = setting()  # bfloat16, float16, float32, auto; None: float32 on a CPU, the weights' own elsewhere
    revision: str | None = setting()  # branch, tag or commit on the Hub
    chat_template: str | None = setting()  # instead of the model's own
    trust_remote_code: bool = setting(False)  # whether code that comes with the model may run
    device: Any = steering()  # "cuda:0"; a list: a process for each; "auto": layers spread over all; None: the best there is
    replicas: int | None = steering()  # processes, each with the whole model; None: one for each device
    threads: int | None = steering()  # on a CPU; None: the cores that are free when the model is loaded
    batch_tokens: int | None = steering()  # tokens decoded together, padding and answer included; None: as memory allows
    concurrency: int = steering(128)  # requests that are pooled
    load: Any = steering()  # a dict, with the keys of models/local/load_settings.py

    handed_on: ClassVar[tuple[str, ...]] = ("load",)
    provider: ClassVar[str] = "transformers"
    most_labels: ClassVar[int] = MOST_LABELS
    weighs_labels: ClassVar[bool] = True
    needs_to_hold: ClassVar[tuple[str, ...]] = ("llguidance",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.model, LLM):  # the settings of another engine for the same weights
            object.__setattr__(self, "model", self.model.model)
        object.__setattr__(self, "chat_template", given_template(self.chat_template, "Transformers"))
        self.check_local()
        object.__setattr__(self, "quantization", quantization_text(self.quantization, who="Transformers"))
        if self.load is not None:
            object.__setattr__(self, "load", load_text(self.load, self.device, who="Transformers"))
            check_replicas(self)

    def check_reach(self) -> None:
        super().check_reach()
        if self.authority is not None and is_config(self.quantization):
            self.authority.arguments(json.loads(self.quantization), who=f"{self.label} quantization=")

    def check_asked(self, sampling: Sampling, *, step: str, is_held: bool = False) -> None:
        check_extras(sampling, EXTRAS, who=step)
        given = sampling.extras()
        limits = [n for n in ("no_repeat_ngram_size", "min_new_tokens") if given.get(n)]
        if limits and is_held:
            raise SettingError(f"{step}: extra={{{limits[0]!r}: …}} cannot be held together with schema=: leave one of them out.")
        if given.get("num_beams", 1) > 1:
            names = ("top_p", "logit_bias", "presence_penalty", "frequency_penalty")
            against = [f"{n}=" for n in names if getattr(sampling, n)] + [f"extra={{{n!r}: …}}" for n in ("top_k", "min_p") if given.get(n)]
            against += ["temperature="] * bool(sampling.temperature) + ["schema="] * is_held
            if against:
                raise SettingError(f"{step}: num_beams searches for the likeliest text, and {against[0]} has no meaning there: leave one of them out.")
        elif lonely := [n for n in BEAMS if n in given]:
            raise SettingError(f"{step}: extra={{{lonely[0]!r}: …}} belongs to beam search; give num_beams too.")

    def measure(self) -> Measure | None:
        self.check_reach()
        return of_folder(self.to_load(), chat_template=self.chat_template, context=None)

    def client(self) -> Client:
        return TransformersClient(self)


class TransformersClient(Resident[Any]):
    """The loaded model and the requests that wait for it."""

    settings: Transformers

    async def answer(self, engine: tuple[Decoder, Batcher[Prepared, Completion]], request: Request) -> Completion:
        decoder, batcher = engine
        prepared = decoder.prepare(request)
        try:
            return await batcher.submit(prepared, prepared.length, begins=array("I", prepared.prompt).tobytes())
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
        llm, weights = self.settings, self.settings.to_load()
        weights.refuse(weights_path(weights.model))  # before the seconds that importing torch takes
        from dreamframe.models.local.decoder import Decoder, default_budget
        from dreamframe.models.local.loading import load

        loaded = load(weights, quantization=llm.quantization)
        decoder = Decoder(loaded, label=llm.label, chat_template=llm.chat_template, threads=llm.threads)
        budget = llm.batch_tokens or default_budget(loaded.model)
        return decoder, Batcher(decoder.answer, budget=budget, is_out_of_memory=decoder.is_out_of_memory, name=llm.label)
