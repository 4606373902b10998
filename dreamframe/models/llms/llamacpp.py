"""Models in GGUF files, run in this process by llama.cpp through xllamacpp."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from dreamframe.errors import (
    BadReplyError,
    BadRequestError,
    CallError,
    ContextLengthError,
    DreamframeError,
    MissingExtraError,
    ServerError,
    SettingError,
)
from dreamframe.models.base import LLM, Client, ModelSettings, setting, steering
from dreamframe.models.local import embedded
from dreamframe.models.local.chat_template import read_in, without_clock
from dreamframe.models.local.constrained import grammar, literal, refusal
from dreamframe.models.local.cores import free_cores
from dreamframe.models.local.devices import no_gpu_layers
from dreamframe.models.local.embedded import SMOLLM2
from dreamframe.models.local.extras import ANYTHING, DICT, NUMBER, YES_NO, check_extras
from dreamframe.models.local.gguf import gguf_header
from dreamframe.models.local.measured import of_gguf
from dreamframe.models.local.memory import Resident, n_bytes_of, unload
from dreamframe.models.local.replicas import Replicas, check_replicas, places_of
from dreamframe.models.local.weights import KeptWeights, Pinned, content_digest, missing_weights, weights_path
from dreamframe.models.measure import Measure
from dreamframe.models.menu import MOST_LABELS, answers_of, n_shared, weighed_texts
from dreamframe.models.pinned import OfWeights
from dreamframe.models.request import Completion, Request, Sampling

DEFAULT_CONTEXT = 4096  # tokens of a request, where the model reads as many
DEFAULT_SLOTS = 4
EXTRAS = {  # of llama.cpp's server, for one request
    **dict.fromkeys(("top_k", "min_keep", "repeat_last_n", "dry_penalty_last_n", "n_keep", "n_discard", "n_indent", "id_slot", "n_cache_reuse"), NUMBER),
    **dict.fromkeys(("min_p", "typical_p", "xtc_probability", "xtc_threshold", "adaptive_target", "adaptive_decay"), NUMBER),
    **dict.fromkeys(("top_n_sigma", "dynatemp_range", "dynatemp_exponent", "dry_multiplier", "dry_base", "dry_allowed_length", "repeat_penalty"), NUMBER),
    **dict.fromkeys(("mirostat", "mirostat_tau", "mirostat_eta", "n_probs", "top_logprobs", "t_max_predict_ms"), NUMBER),
    **dict.fromkeys(("reasoning_budget_tokens", "thinking_budget_tokens"), NUMBER),
    **dict.fromkeys(("ignore_eos", "logprobs", "post_sampling_probs", "cache_prompt", "backend_sampling", "add_generation_prompt"), YES_NO),
    **dict.fromkeys(("continue_final_message", "parallel_tool_calls", "timings_per_token", "return_tokens"), YES_NO),
    **dict.fromkeys(("samplers", "dry_sequence_breakers", "tools", "tool_choice", "reasoning_format", "reasoning_effort", "lora", "grammar"), ANYTHING),
    "chat_template_kwargs": DICT,
}


class InGguf(OfWeights):
    """What the settings of a model in a GGUF file have, whatever it is asked for."""

    model: Any  # the path of a GGUF file
    gpu_layers: int | None

    @property
    def label(self) -> str:
        return Path(self.model).name

    @property
    def gguf(self) -> Path:
        """The file. Raises SettingError where there is none."""
        return gguf_file(self.model, type(self).__name__)

    @property
    def content(self) -> str:
        """What the file holds, as a digest."""
        return gguf_identity(self.model, type(self).__name__)

    def missing(self) -> tuple[DreamframeError, ...]:
        here = importlib.util.find_spec("xllamacpp") is not None
        return (*(() if here else (no_xllamacpp(type(self).__name__),)), *missing_weights(self.model))

    def no_device(self) -> DreamframeError | None:
        return no_gpu_layers(self.gpu_layers, who=type(self).__name__)

    def unload(self) -> bool:
        """Give back the memory of the loaded model; the next request loads it again. False where it was not loaded."""
        assert isinstance(self, ModelSettings)
        return unload(self)


@dataclass(frozen=True)
class LlamaCpp(InGguf, LLM):
    """A model in a GGUF file, run in this process. Needs `pip install 'dreamframe[llamacpp]'`.

    `n_ctx` is the longest request with its answer, in tokens (default: what the model reads, at most 4096;
    llama.cpp rounds it up to a multiple of 256). `slots` requests are decoded together;
    `replicas=2` keeps the model in so many processes, which share the rows and the cores; one that dies is started again and loses no row.
    `threads` are chosen from the cores that are free when the model is loaded. `adapter` is a LoRA adapter in a GGUF file.
    The same request gives the same answer, but for rounding where requests are decoded together: a near tie may fall the other way.
    A file without a chat template is a base model: it continues the prompt. `extra` takes what llama.cpp's server takes beside the usual settings, such
    as top_k, min_p and repeat_penalty; what it does not know is refused.

    Raises SettingError for settings that are not possible, when it is made; a run that lacks the library or the file says so before it reads a row.

    >>> dr.LlamaCpp("model.gguf", temperature=0, max_tokens=64).label
    'model.gguf'
    """

    n_ctx: int | None = setting()  # tokens of the longest request with its answer; None: what the model reads, at most 4096
    adapter: str | None = setting()  # a LoRA adapter in a GGUF file
    slots: int = steering(DEFAULT_SLOTS)  # requests that are decoded together
    replicas: int | None = steering()  # processes, each with the whole model; None: this one
    threads: int | None = steering()  # on a CPU; None: the cores that are free when the model is loaded
    gpu_layers: int | None = steering()  # None: as many as fit, where xllamacpp was built for a GPU

    provider: ClassVar[str] = "llamacpp"
    most_labels: ClassVar[int] = MOST_LABELS
    weighs_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_replicas(self)
        for name in ("n_ctx", "slots", "threads"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise SettingError(f"{type(self).__name__}: {name}={value!r}; give a whole number of 1 or more.")
        for name in ("model", "adapter"):
            value = getattr(self, name)
            object.__setattr__(self, name, value if value is None or isinstance(value, str) else str(value))

    def check_asked(self, sampling: Sampling, *, step: str, is_held: bool = False) -> None:
        check_extras(sampling, EXTRAS, who=step)
        if is_held and "grammar" in sampling.extras():
            raise SettingError(f"{step}: extra={{'grammar': …}} and schema= both say what an answer must be; give one of them.")

    @property
    def concurrency(self) -> int:
        """Requests that are decoded together."""
        return self.slots

    def measure(self) -> Measure | None:
        self.check_reach()
        return of_gguf(self.gguf, context=context_of(self.gguf, self.n_ctx), who=self.label)

    def identity_fields(self) -> Mapping[str, object]:
        own = super().identity_fields()  # which asks whether they may be opened
        adapter = gguf_identity(self.adapter, type(self).__name__) if self.adapter else None
        return {**own, "model": self.content, "adapter": adapter}

    def pool_key(self) -> str:
        return f"llamacpp {self.weights_key()} {self.n_ctx} {self.slots} {self.replicas} {self.threads} {self.gpu_layers}"

    def open(self) -> Client:
        need_xllamacpp(type(self).__name__)
        if (error := self.no_device()) is not None:
            raise error
        places = places_of(self)
        return Replicas(self, places) if places else LlamaCppClient(self)

    @property
    def n_bytes(self) -> int:
        """Memory that the weights need."""
        return n_bytes_of(self.gguf)


def need_xllamacpp(who: str) -> None:
    """Raise MissingExtraError where the engine is not installed."""
    try:
        import xllamacpp  # noqa: F401
    except ImportError as exc:
        raise no_xllamacpp(who) from exc


def no_xllamacpp(who: str) -> MissingExtraError:
    return MissingExtraError("xllamacpp", extra="llamacpp", needed_for=who)


def gguf_file(name: str, who: str) -> Path:
    """The path of a GGUF file; that of the embedded model is downloaded now if it is not here. Raises SettingError where there is none."""
    path = weights_path(name)
    if path is None and str(name) == SMOLLM2:
        path = embedded.download()
    if path is None or not path.is_file():
        raise SettingError(f"{who}: {name!r} is not a file; give the path of a GGUF file.")
    return path


def gguf_identity(name: str, who: str) -> str:
    """What a GGUF file holds, as a digest."""
    known = name.identity if isinstance(name, KeptWeights | Pinned) else None
    if isinstance(known, str):
        return known
    return embedded.GGUF.digest if str(name) == SMOLLM2 and weights_path(name) is None else content_digest(gguf_file(name, who))


@dataclass(frozen=True)
class Loaded:
    """llama.cpp's server with its weights, and the threads that wait for its answers: one a slot."""

    server: Any
    is_chat: bool
    threads: ThreadPoolExecutor
    working: set[Future[Completion]]
    closing: threading.Event


class LlamaCppClient(Resident[Loaded]):
    """The loaded model."""

    settings: LlamaCpp

    async def answer(self, engine: Loaded, request: Request) -> Completion:
        gone = threading.Event()
        working = engine.threads.submit(self._ask, engine, request, gone)
        engine.working.add(working)
        working.add_done_callback(engine.working.discard)
        try:
            return await asyncio.wrap_future(working)
        finally:
            gone.set()  # a cancelled request stops at its next token, and its slot is free

    async def release(self, engine: Loaded) -> None:
        engine.closing.set()
        engine.threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.gather(*map(asyncio.wrap_future, tuple(engine.working)), return_exceptions=True)

    @property
    def n_bytes(self) -> int:
        here = weights_path(self.settings.model)  # asked in the event loop, where nothing may be downloaded
        return embedded.GGUF.n_bytes if here is None else n_bytes_of(here)

    # On worker threads

    def _ask(self, engine: Loaded, request: Request, gone: threading.Event) -> Completion:
        label, json_schema = self.settings.label, request.question.json_schema
        if json_schema is not None and (refused := refusal(json_schema)):
            raise BadRequestError(f"{label}: the schema cannot be decoded under: {refused}")
        if request.question.labels:
            return self._weigh(engine, request, gone)
        return self._answered(engine, request, gone).completion(label)

    def _weigh(self, engine: Loaded, request: Request, gone: threading.Event) -> Completion:
        """How likely each label is: the model is held to one after the other, and llama.cpp tells how likely each token was. It keeps what it read of
        the prompt."""
        held = [self._answered(engine, request, gone, only=text) for text in answers_of(request.question)]
        made = [answer.completion(self.settings.label) for answer in held]
        text = weighed_texts(request.question.labels, apart([answer.tokens for answer in held]))
        return Completion(text, n_in=made[0].n_in, n_out=sum(m.n_out for m in made), n_cached=made[0].n_cached, model=self.settings.label)

    def _answered(self, engine: Loaded, request: Request, gone: threading.Event, *, only: str | None = None) -> Answer:
        """The answer, or, with `only`, this text as the answer."""
        label = self.settings.label
        answer = Answer(lambda: gone.is_set() or engine.closing.is_set())
        is_chat = engine.is_chat or request.question.form == "messages"
        ask = engine.server.handle_chat_completions if is_chat else engine.server.handle_completions
        try:
            failed = ask(body(request, is_chat=is_chat, only=only), answer.add)
        except (ValueError, RuntimeError) as exc:
            raise BadRequestError(f"{label}: {exc}") from exc
        if isinstance(failed, dict):
            answer.add(failed)
        return answer

    def load(self) -> Loaded:
        llm = self.settings
        template, context = gguf_header(llm.gguf).get("tokenizer.chat_template"), context_of(llm.gguf, llm.n_ctx)
        if isinstance(template, str) and not read_in(template) & {"messages", "raise_exception"}:
            raise SettingError(f"{llm.label}: its chat template does not read `messages`, so all rows would be asked the same: {template[:120]!r}")
        threads = ThreadPoolExecutor(llm.slots, thread_name_prefix="dreamframe-llamacpp")
        return Loaded(serve(llm, context), template is not None, threads, set(), threading.Event())


def serve(llm: LlamaCpp, context: int) -> Any:
    """llama.cpp's server over the weights, without a port, ready to be asked."""
    import xllamacpp

    params = parameters(llm.gguf, context=context, slots=llm.slots, threads=llm.threads, gpu_layers=llm.gpu_layers)
    template = gguf_header(llm.gguf).get("tokenizer.chat_template")
    if isinstance(template, str) and (timeless := without_clock(template)) != template:
        params.chat_template = timeless
    if llm.adapter is not None:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(Path(llm.adapter).expanduser()), 1.0)]
    return xllamacpp.Server(params)


def parameters(gguf: Path, *, context: int, slots: int, threads: int | None, gpu_layers: int | None) -> Any:
    """The parameters of llama.cpp's server for a file: `slots` requests of `context` tokens each."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.verbosity = -1  # nothing of llama.cpp's own on the terminal
    params.model.path = str(gguf)
    params.n_parallel = slots
    params.n_ctx = context * slots  # it is split evenly
    params.kv_unified = False
    params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE  # memory of its own: a mapped file that is written over changes the loaded model
    params.fit_params = False  # the context is what was asked for, or an error
    params.warmup = False
    params.cache_ram_mib = 0  # prompts of slots are kept; a cache of further ones costs memory without end
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads or free_cores()
    if gpu_layers is not None:
        params.n_gpu_layers = gpu_layers
    return params


def context_of(gguf: Path, asked: int | None) -> int:
    """Tokens of a request: what was asked for, or what the model reads, at most 4096."""
    header = gguf_header(gguf)
    trained = header.get(f"{header.get('general.architecture')}.context_length")
    return asked or min(DEFAULT_CONTEXT, trained if isinstance(trained, int) else DEFAULT_CONTEXT)


def body(request: Request, *, is_chat: bool, only: str | None = None) -> dict[str, Any]:
    """A request as llama.cpp's server reads it. With `only`, this JSON is its answer, and it tells how likely each token of it is."""
    question = request.question
    sampling = question.sampling
    sent: dict[str, Any] = {**sampling.extras(), "stream": True, "stream_options": {"include_usage": True}}
    if is_chat:
        sent["messages"] = request.messages()
    else:
        sent["prompt"] = f"{question.system}\n\n{request.prompt}" if question.system else request.prompt
    for name in ("max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty"):
        if (value := getattr(sampling, name)) is not None:
            sent[name] = value
    if sampling.stop:
        sent["stop"] = list(sampling.stop)
    if sampling.logit_bias:
        sent["logit_bias"] = [[int(token) if token.isdecimal() else token, bias] for token, bias in sampling.logit_bias]
    if only is not None:
        sent |= {"grammar": literal(only), "logprobs": True, "top_logprobs": 1} if is_chat else {"grammar": literal(only), "logprobs": 1}
    elif question.json_schema is not None:
        sent["grammar"] = grammar(question.json_schema)
    sent["seed"] = request.seed  # the key that it comes from holds seed= and the sample ordinal
    return sent


class Answer:
    """One answer, gathered from the pieces that llama.cpp streams. Streaming is what makes a request that nobody waits for stop."""

    def __init__(self, is_given_up: Any) -> None:
        self._is_given_up = is_given_up
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._finish: str | None = None
        self._usage: Mapping[str, Any] = {}
        self.tokens: list[tuple[int, float]] = []  # id and logarithm of the probability, of each token, where they were asked for
        self._error: Mapping[str, Any] | None = None

    def add(self, piece: Mapping[str, Any]) -> bool:
        """Take the next piece; True asks the server to stop."""
        if "error" in piece:
            self._error = piece["error"]
            return True
        for choice in piece.get("choices", ()):
            delta = choice.get("delta", {})
            self._text.append(choice.get("text") or delta.get("content") or "")
            self._reasoning.append(delta.get("reasoning_content") or "")
            self.tokens += [(t["id"], t["logprob"]) for t in (choice.get("logprobs") or {}).get("content", ())]
            self._finish = choice.get("finish_reason") or self._finish
        self._usage = piece.get("usage") or self._usage
        return bool(self._is_given_up())

    def completion(self, model: str) -> Completion:
        """The whole answer, or the error."""
        if self._error is not None:
            raise refused(self._error, model)
        if self._finish is None:
            raise BadReplyError(f"{model}: the answer was given up before its end", text="".join(self._text)[:2000])
        return Completion(
            "".join(self._text),
            finish=self._finish,
            n_in=int(self._usage.get("prompt_tokens", 0)),
            n_out=int(self._usage.get("completion_tokens", 0)),
            n_cached=int((self._usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)),
            model=model,
            thoughts="".join(self._reasoning) or None,
        )


def apart(answers: Sequence[Sequence[tuple[int, float]]]) -> list[float]:
    """The logarithms of the probabilities of answers, from the first token on that they do not share.

    >>> apart([[(7, -9.0), (1, -0.5)], [(7, -9.0), (2, -1.0), (3, -0.25)]])
    [-0.5, -1.25]
    """
    shared = n_shared([[token for token, _ in answer] for answer in answers])
    return [math.fsum(log for _, log in answer[shared:]) for answer in answers]


def refused(error: Mapping[str, Any], model: str) -> CallError:
    """What an error of llama.cpp's means."""
    code, message = int(error.get("code", 500)), str(error.get("message", error))
    if error.get("type") == "exceed_context_size_error":
        return ContextLengthError(f"{model}: {message} (n_ctx= of the model)", status=code)
    return (BadRequestError if code < 500 else ServerError)(f"{model}: {message}", status=code)
