"""Language models on GPUs of this machine through vLLM's engine, which batches requests as they come."""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from dreamframe.errors import BadReplyError, BadRequestError, ContextLengthError, PermanentCallError, SettingError
from dreamframe.models.api.first_token import of_letters
from dreamframe.models.base import LLM, Client, setting, steering
from dreamframe.models.local.chat_template import drops_system, given_template, template_of
from dreamframe.models.local.chat_tokens import bias_of_tokens, prompt_tokens, with_opening
from dreamframe.models.local.extras import ANYTHING, check_extras
from dreamframe.models.local.measured import of_folder
from dreamframe.models.local.memory import Resident
from dreamframe.models.local.settings import LocalSettings
from dreamframe.models.measure import Measure
from dreamframe.models.request import Completion, Request

HOW = {  # engine arguments that steer where and how fast, never what
    *("enforce_eager", "max_num_batched_tokens", "max_num_seqs", "swap_space", "block_size", "enable_prefix_caching", "enable_chunked_prefill"),
    *("distributed_executor_backend", "pipeline_parallel_size", "data_parallel_size", "enable_expert_parallel", "disable_custom_all_reduce"),
    *("cpu_offload_gb", "num_gpu_blocks_override", "max_parallel_loading_workers", "download_dir", "load_format", "disable_log_stats"),
    *("compilation_config", "cuda_graph_sizes", "enable_sleep_mode", "async_scheduling", "attention_backend", "device", "max_seq_len_to_capture"),
}
LISTED = 20  # tokens that it lists of each place: its own limit, where `max_logprobs` is not given
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # of adapters, as vLLM sets room aside for them


@dataclass(frozen=True)
class VLLM(LocalSettings, LLM):
    """A language model on the GPUs of this machine. Needs `pip install 'dreamframe[vllm]'`, in an environment of its own (it pins its own torch).

    `model` is a folder, a Hub id (its `revision` resolved to a commit), or a model that the plan trains; `adapter` is a LoRA adapter, likewise.
    `n_ctx` is the longest request with its answer, in tokens; `quantization` and `dtype` as vLLM names them. Requests are handed to the engine as they
    come, up to `concurrency` at once. `tensor_parallel` GPUs share each layer; the engine takes the `gpu_memory` share of each. `engine` takes any other
    of vLLM's engine arguments: those that place and schedule the work count as how, all others (`hf_overrides`, `kv_cache_dtype`) as what is asked.

    >>> dr.VLLM("Qwen/Qwen3-8B", tensor_parallel=2, temperature=0).label
    'Qwen3-8B'
    """

    model: Any  # a folder, a Hub id, or a model that the plan trains
    adapter: Any = setting()  # a LoRA adapter: a folder, a Hub id, or a model that the plan trains
    quantization: str | None = setting()  # as vLLM names it
    dtype: str | None = setting()  # as vLLM names it
    revision: str | None = setting()  # branch, tag or commit on the Hub
    chat_template: str | None = setting()  # instead of the model's own
    n_ctx: int | None = setting()  # tokens of the longest request with its answer; None: the model's own
    trust_remote_code: bool = setting(False)  # whether code that comes with the model may run
    tensor_parallel: int = steering(1)  # GPUs that share each layer
    gpu_memory: float = steering(0.9)  # share of each GPU's memory
    engine: Any = steering()  # a dict of any other arguments of vLLM's engine
    concurrency: int = steering(256)  # requests in the engine at once

    handed_on: ClassVar[tuple[str, ...]] = ("engine",)
    provider: ClassVar[str] = "vllm"
    most_labels: ClassVar[int] = LISTED
    dtypes: ClassVar[tuple[str, ...]] = ()  # as vLLM names them
    counts: ClassVar[tuple[str, ...]] = ("n_ctx", "tensor_parallel", "concurrency")
    needs: ClassVar[tuple[str, ...]] = ("vllm",)
    pip_extra: ClassVar[str] = "vllm"
    needs_peft: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "chat_template", given_template(self.chat_template, "VLLM"))
        self.check_local()
        if not 0 < self.gpu_memory <= 1:
            raise SettingError(f"VLLM: gpu_memory={self.gpu_memory!r}; give the share of each GPU's memory, over 0 and up to 1.")
        if self.engine is not None and not isinstance(self.engine, str):
            object.__setattr__(self, "engine", json.dumps(dict(self.engine), sort_keys=True))

    def identity_fields(self) -> Mapping[str, object]:
        seen = super().identity_fields()
        chosen = {k: v for k, v in json.loads(self.engine or "{}").items() if k not in HOW}
        return {**seen, "engine": chosen} if chosen else seen

    def measure(self) -> Measure | None:
        self.check_reach()
        return of_folder(self.to_load(), chat_template=self.chat_template, context=self.n_ctx)

    def client(self) -> Client:
        return VLLMClient(self)


@dataclass(frozen=True)
class Running:
    """vLLM's engine with what requests need of it."""

    engine: Any
    tokenizer: Any
    template: str | None
    drops_system: bool  # as its template does
    context: int  # tokens
    defaults: Mapping[str, Any]  # the model's own sampling settings
    adapter: Any


class VLLMClient(Resident[Running]):
    """The running engine."""

    settings: VLLM

    def __init__(self, settings: VLLM) -> None:
        super().__init__(settings)
        self._numbers = itertools.count()

    async def answer(self, engine: Running, request: Request) -> Completion:
        label = self.settings.label
        prompt = prompt_tokens(engine.tokenizer, engine.template, request, who=label, drops_system=engine.drops_system)
        if len(prompt) >= engine.context:
            raise ContextLengthError(f"{label}: the prompt has {len(prompt)} tokens, and the model reads {engine.context} with its answer (n_ctx=)")
        params = sampling_params(request, engine, room=engine.context - len(prompt))
        number = f"dreamframe-{next(self._numbers)}"
        try:
            last = await _last(engine.engine.generate({"prompt_token_ids": prompt}, params, number, lora_request=engine.adapter))
        except ValueError as exc:
            raise BadRequestError(f"{label}: {exc}") from exc
        except RuntimeError as exc:  # the engine died; nothing can be asked of it any more
            error = PermanentCallError(f"{label}: vLLM's engine stopped: {type(exc).__name__}: {exc}")
            error.stops_run = True
            raise error from exc
        if last is None or not last.finished or last.outputs[0].finish_reason in ("abort", "error"):
            raise BadReplyError(f"{label}: the answer was given up before its end")
        said = last.outputs[0]
        if request.question.labels:
            listed = [(token.decoded_token or "", token.logprob) for token in said.logprobs[0].values()]
            weighed = of_letters(request.question.labels, listed)
            return Completion(weighed, n_in=len(prompt), n_out=len(said.token_ids), n_cached=last.num_cached_tokens or 0, model=label)
        text, n_cached = with_opening(said.text, prompt, engine.tokenizer, request), last.num_cached_tokens or 0
        return Completion(text, finish=said.finish_reason, n_in=len(prompt), n_out=len(said.token_ids), n_cached=n_cached, model=label)

    def load(self) -> Running:
        from transformers import AutoTokenizer
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        llm = self.settings
        weights = llm.to_load()
        folder, adapter = str(weights.folder()), weights.adapter
        given = {"quantization": llm.quantization, "max_model_len": llm.n_ctx}
        engine = AsyncLLM.from_engine_args(
            AsyncEngineArgs(
                model=folder,
                dtype=llm.dtype or "auto",
                trust_remote_code=llm.trust_remote_code,
                tensor_parallel_size=llm.tensor_parallel,
                gpu_memory_utilization=llm.gpu_memory,
                max_num_seqs=llm.concurrency,
                disable_log_stats=True,
                **{k: v for k, v in given.items() if v is not None},
                **(_room_for(adapter) if adapter is not None else {}),
                **json.loads(llm.engine or "{}"),
            )
        )
        own = adapter is not None and (adapter / "tokenizer_config.json").exists()
        tokenizer = AutoTokenizer.from_pretrained(str(adapter) if own else folder, trust_remote_code=llm.trust_remote_code)
        template = template_of(tokenizer, llm.chat_template, llm.label)
        config, drops = engine.model_config, drops_system(tokenizer, template)
        return Running(engine, tokenizer, template, drops, int(config.max_model_len), config.get_diff_sampling_param(), _lora(adapter))

    async def release(self, engine: Running) -> None:
        engine.engine.shutdown()


async def _last(outputs: AsyncIterator[Any]) -> Any:
    """The last of what an engine yields. Cancelled, it closes the generator, and vLLM drops the request from its batch."""
    last = None
    async for output in outputs:
        last = output
    return last


def sampling_params(request: Request, engine: Running, *, room: int) -> Any:
    """A request's settings as vLLM's. The answer may fill the `room` that the prompt leaves, where no limit was set."""
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

    question = request.question
    sampling = question.sampling
    extras = {k: v for k, v in sampling.extras().items() if k != "chat_template_kwargs"}
    given = {n: getattr(sampling, n) for n in ("temperature", "top_p", "presence_penalty", "frequency_penalty")}
    check_extras(sampling, dict.fromkeys((*inspect.signature(SamplingParams).parameters, "chat_template_kwargs"), ANYTHING), who="VLLM")
    params: dict[str, Any] = {**engine.defaults, **{k: v for k, v in given.items() if v is not None}, **extras}
    params["max_tokens"] = min(sampling.max_tokens or params.get("max_tokens") or room, room)
    if question.labels:  # see models/menu.py; which letter is drawn is of no matter
        params |= {"logprobs": LISTED, "temperature": 1.0}
    params["seed"] = request.seed  # the key that it comes from holds seed= and the sample ordinal
    if sampling.stop:
        params["stop"] = list(sampling.stop)
    if sampling.logit_bias:
        params["logit_bias"] = bias_of_tokens(engine.tokenizer, sampling.logit_bias)
    if question.json_schema is not None:
        params["structured_outputs"] = StructuredOutputsParams(json=json.loads(question.json_schema), disable_any_whitespace=True)
    return SamplingParams(**params, output_kind=RequestOutputKind.FINAL_ONLY)


def _room_for(adapter: Path) -> dict[str, Any]:
    """Engine arguments that set memory aside for an adapter."""
    rank = int(json.loads((adapter / "adapter_config.json").read_text()).get("r", RANKS[0]))
    fitting = [r for r in RANKS if r >= rank]
    if not fitting:
        raise SettingError(f"VLLM: the adapter has rank {rank}; vLLM takes up to {RANKS[-1]}. Merge it first: model.export(path, merge=True).")
    return {"enable_lora": True, "max_loras": 1, "max_lora_rank": fitting[0]}


def _lora(adapter: Path | None) -> Any:
    if adapter is None:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest(adapter.name, 1, str(adapter))
