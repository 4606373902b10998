"""dr.VLLM against a stand-in for vLLM 0.12+ that takes only the arguments which vLLM documents, and keeps them; on a GPU, vLLM itself."""

from __future__ import annotations

import asyncio
import json
import math
import sys
import types
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import BadReplyError, BadRequestError, ContextLengthError, MissingExtraError, PermanentCallError, SettingError
from dreamframe.models.request import Question
from tests.asking import ask_all, requests, texts
from tests.micro import micro_causal, micro_tokenizer

pytestmark = pytest.mark.slow  # torch and transformers are loaded

# The stand-in. Fields and defaults as in vLLM's documentation of AsyncEngineArgs, SamplingParams, StructuredOutputsParams and LoRARequest.


@dataclass
class AsyncEngineArgs:
    model: str
    dtype: str = "auto"
    quantization: str | None = None
    max_model_len: int | None = None
    trust_remote_code: bool = False
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    gpu_memory_utilization: float = 0.9
    max_num_seqs: int | None = None
    enforce_eager: bool = False
    enable_lora: bool = False
    max_loras: int = 1
    max_lora_rank: int = 16
    disable_log_stats: bool = False


class RequestOutputKind(Enum):
    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


@dataclass
class StructuredOutputsParams:
    json: str | dict[str, Any] | None = None
    disable_any_whitespace: bool = False


@dataclass
class SamplingParams:
    max_tokens: int | None = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: list[str] | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: dict[int, float] | None = None
    logprobs: int | None = None
    structured_outputs: StructuredOutputsParams | None = None
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


@dataclass
class Logprob:
    logprob: float
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    text: str
    token_ids: list[int]
    finish_reason: str | None
    logprobs: list[dict[int, Logprob]] | None = None


@dataclass
class RequestOutput:
    outputs: list[CompletionOutput]
    finished: bool = True
    num_cached_tokens: int | None = None


@dataclass
class Asked:
    prompt: dict[str, Any]
    params: SamplingParams
    request_id: str
    lora: LoRARequest | None


@dataclass
class ModelConfig:
    max_model_len: int
    diff: dict[str, Any] = field(default_factory=dict)

    def get_diff_sampling_param(self) -> dict[str, Any]:
        return dict(self.diff)


class AsyncLLM:
    made: list[AsyncLLM] = []  # noqa: RUF012  of the running test
    diff: dict[str, Any] = {}  # noqa: RUF012
    error: Exception | None = None
    finish: str | None = "stop"

    def __init__(self, args: AsyncEngineArgs) -> None:
        self.args = args
        self.model_config = ModelConfig(args.max_model_len or 256, self.diff)
        self.asked: list[Asked] = []
        self.in_flight = self.most_in_flight = 0
        self.aborted: list[str] = []
        self.is_shut_down = False
        self.hold: asyncio.Event | None = None

    @classmethod
    def from_engine_args(cls, engine_args: AsyncEngineArgs) -> AsyncLLM:
        cls.made.append(cls(engine_args))
        return cls.made[-1]

    async def generate(self, prompt: dict[str, Any], sampling_params: SamplingParams, request_id: str, *, lora_request: LoRARequest | None = None) -> Any:
        self.asked.append(Asked(prompt, sampling_params, request_id, lora_request))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(0.01 if self.hold is None else 3600)
            if self.error is not None:
                raise self.error
            text = micro_tokenizer().decode(prompt["prompt_token_ids"])
            listed = [{37: Logprob(math.log(0.6), "A"), 38: Logprob(math.log(0.2), " B")}] if sampling_params.logprobs else None
            yield RequestOutput([CompletionOutput(text, [1, 2, 3], self.finish, listed)], num_cached_tokens=4)
        except (asyncio.CancelledError, GeneratorExit):
            self.aborted.append(request_id)
            raise
        finally:
            self.in_flight -= 1

    def shutdown(self) -> None:
        self.is_shut_down = True


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> type[AsyncLLM]:
    """The stand-in, installed."""
    held = {
        "vllm": {},
        "vllm.engine": {},
        "vllm.engine.arg_utils": {"AsyncEngineArgs": AsyncEngineArgs},
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": LoRARequest},
        "vllm.sampling_params": {
            "RequestOutputKind": RequestOutputKind,
            "SamplingParams": SamplingParams,
            "StructuredOutputsParams": StructuredOutputsParams,
        },
        "vllm.v1": {},
        "vllm.v1.engine": {},
        "vllm.v1.engine.async_llm": {"AsyncLLM": AsyncLLM},
    }
    for name, names in held.items():
        module = types.ModuleType(name)
        module.__spec__ = types.SimpleNamespace(name=name)  # type: ignore[assignment]  what find_spec gives for a module that is imported
        module.__dict__.update(names)
        monkeypatch.setitem(sys.modules, name, module)
    for name, value in {"made": [], "diff": {}, "error": None, "finish": "stop"}.items():
        monkeypatch.setattr(AsyncLLM, name, value)
    return AsyncLLM


def model(**settings: Any) -> dr.VLLM:
    return dr.VLLM(micro_causal(), **settings)


def tokens(text: str) -> list[int]:
    return list(micro_tokenizer()(text, add_special_tokens=False)["input_ids"])


# Settings


@pytest.mark.parametrize("settings", [{"tensor_parallel": 0}, {"gpu_memory": 1.5}, {"n_ctx": 0}, {"concurrency": 0}], ids=lambda s: next(iter(s)))
def test_impossible_settings_are_refused_where_they_are_written(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(settings))):
        model(**settings)


def test_labels_are_letters_of_a_menu_and_the_tokens_beside_them(vllm: type[AsyncLLM]) -> None:
    (answer,) = texts(ask_all(model(temperature=0), ["x"], labels=("yes", "no")))
    assert dict(json.loads(answer)["all"]) == pytest.approx({"yes": 0.75, "no": 0.25})
    assert (vllm.made[0].asked[0].params.logprobs, vllm.made[0].asked[0].params.temperature) == (20, 1.0)


def test_identity_is_what_decides_and_not_how() -> None:
    same = model(tensor_parallel=4, gpu_memory=0.5, concurrency=9, engine={"enforce_eager": True})
    assert same.identity_fields() == model().identity_fields()
    assert model(n_ctx=100).identity_fields() != model().identity_fields()
    assert model(quantization="fp8").identity_fields() != model().identity_fields()


def test_without_vllm_the_error_gives_the_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dreamframe\[vllm\]'"):
        model().open()


# The engine


def test_the_engine_is_made_with_the_settings_under_vllms_names(vllm: type[AsyncLLM]) -> None:
    llm = model(dtype="bfloat16", quantization="fp8", n_ctx=128, tensor_parallel=2, gpu_memory=0.8, concurrency=7, engine={"enforce_eager": True})
    texts(ask_all(llm, ["tea"]))
    (engine,) = vllm.made
    assert engine.args == AsyncEngineArgs(
        model=str(micro_causal()),
        dtype="bfloat16",
        quantization="fp8",
        max_model_len=128,
        tensor_parallel_size=2,
        gpu_memory_utilization=0.8,
        max_num_seqs=7,
        enforce_eager=True,
        disable_log_stats=True,
    )
    assert engine.is_shut_down


def test_requests_are_handed_over_as_they_come_and_never_batch_by_batch(vllm: type[AsyncLLM]) -> None:
    answers = ask_all(model(), [f"tea {i}" for i in range(40)])
    (engine,) = vllm.made
    assert engine.most_in_flight == 40
    assert len({a.request_id for a in engine.asked}) == 40
    assert all(f"tea {i}" in a.text for i, a in enumerate(answers))
    assert (answers[0].finish, answers[0].n_out, answers[0].n_cached) == ("stop", 3, 4)


def test_a_prompt_is_sent_as_the_tokens_of_the_chat_template(vllm: type[AsyncLLM]) -> None:
    (answer,) = ask_all(model(), ["tea"], system="be brief")
    text = "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\ntea<|im_end|>\n<|im_start|>assistant\n"
    assert vllm.made[0].asked[0].prompt == {"prompt_token_ids": tokens(text)}
    assert answer.n_in == len(tokens(text))


def test_a_template_of_one_prompt_is_wrapped_as_trainers_do(vllm: type[AsyncLLM]) -> None:
    texts(ask_all(model(chat_template="### Instruction:\n{{prompt}}\n\n### Response:\n"), ["tea"]))
    assert vllm.made[0].asked[0].prompt == {"prompt_token_ids": tokens("### Instruction:\ntea\n\n### Response:\n")}


def test_a_template_that_leaves_out_the_prompt_or_the_system_prompt_asks_nothing(vllm: type[AsyncLLM]) -> None:
    (error,) = ask_all(model(chat_template="{% for m in messages %}{{ m['role'] }}{% endfor %}"), ["tea"])
    assert "leaves out the prompt" in str(error)
    (error,) = ask_all(model(chat_template="{{ messages[-1]['content'] }}"), ["tea"], system="be brief")
    assert "leaves out the system prompt" in str(error)
    assert not [asked for engine in vllm.made for asked in engine.asked]


def test_sampling_is_sent_under_vllms_names(vllm: type[AsyncLLM]) -> None:
    llm = model(max_tokens=9, temperature=0.5, top_p=0.9, stop=["x"], presence_penalty=0.1, frequency_penalty=0.2, logit_bias={"7": 3}, extra={"top_k": 5})
    texts(ask_all(llm, ["tea"]))
    params = vllm.made[0].asked[0].params
    assert isinstance(params.seed, int)
    assert params == SamplingParams(
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        seed=params.seed,
        stop=["x"],
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logit_bias={7: 3.0},
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def test_each_sample_has_a_seed_of_its_own(vllm: type[AsyncLLM]) -> None:
    ask_all(model(), ["tea"] * 5, samples=range(5))
    assert len({a.params.seed for a in vllm.made[0].asked}) == 5


def test_what_was_not_set_is_the_models_own_and_the_answer_may_fill_the_context(vllm: type[AsyncLLM]) -> None:
    vllm.diff = {"temperature": 0.6, "top_k": 20}
    (answer,) = ask_all(model(n_ctx=100, top_p=0.5), ["tea"])
    params = vllm.made[0].asked[0].params
    assert (params.temperature, params.top_k, params.top_p) == (0.6, 20, 0.5)
    assert params.max_tokens == 100 - answer.n_in


def test_a_schema_is_a_structured_output_without_free_white_space(vllm: type[AsyncLLM]) -> None:
    shape = {"type": "object", "properties": {"answer": {"enum": ["a"]}}, "required": ["answer"]}
    ask_all(model(), ["tea"], json_schema=json.dumps(shape))
    assert vllm.made[0].asked[0].params.structured_outputs == StructuredOutputsParams(json=shape, disable_any_whitespace=True)


def adapter(folder: Path, rank: int) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank}))
    return folder


@pytest.mark.parametrize(("rank", "room"), [(4, 8), (16, 16), (33, 64)])
def test_an_adapter_is_sent_with_each_request_and_has_room(vllm: type[AsyncLLM], tmp_path: Path, rank: int, room: int) -> None:
    folder = adapter(tmp_path / "tuned", rank)
    ask_all(model(adapter=folder), ["tea"])
    (engine,) = vllm.made
    assert (engine.args.enable_lora, engine.args.max_loras, engine.args.max_lora_rank) == (True, 1, room)
    assert engine.asked[0].lora == LoRARequest("tuned", 1, str(folder))


def test_an_adapter_that_is_too_large_is_refused(vllm: type[AsyncLLM], tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="rank 1024; vLLM takes up to 512"):
        texts(ask_all(model(adapter=adapter(tmp_path / "tuned", 1024)), ["tea"]))


# What goes wrong


def test_a_prompt_over_the_context_fails_alone(vllm: type[AsyncLLM]) -> None:
    error, answer = ask_all(model(n_ctx=64), ["tea " * 100, "tea"])
    assert isinstance(error, ContextLengthError)
    assert answer.finish == "stop"


def test_what_vllm_refuses_is_a_bad_request(vllm: type[AsyncLLM]) -> None:
    vllm.error = ValueError("logit_bias out of range")
    (error,) = ask_all(model(), ["tea"])
    assert isinstance(error, BadRequestError)
    assert "logit_bias out of range" in str(error)


def test_a_dead_engine_stops_the_run(vllm: type[AsyncLLM]) -> None:
    vllm.error = RuntimeError("EngineCore died")
    (error,) = ask_all(model(), ["tea"])
    assert isinstance(error, PermanentCallError)
    assert error.stops_run


def test_an_aborted_answer_is_no_answer(vllm: type[AsyncLLM]) -> None:
    vllm.finish = "abort"
    (error,) = ask_all(model(), ["tea"])
    assert isinstance(error, BadReplyError)


def test_a_cancelled_request_leaves_the_engine(vllm: type[AsyncLLM]) -> None:
    async def main() -> None:
        llm = model()
        client = llm.open()
        first, second = requests(Question(llm=llm), ["tea", "bread"])
        await client.complete(first)
        (engine,) = vllm.made
        engine.hold = asyncio.Event()
        task = asyncio.create_task(client.complete(second))
        while engine.in_flight == 0:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert engine.aborted == ["dreamframe-1"]
        await client.close()

    asyncio.run(main())


@pytest.mark.gpu
def test_vllm_itself_answers_as_transformers_does() -> None:
    pytest.importorskip("vllm")
    settings = {"temperature": 0, "max_tokens": 8, "dtype": "float32"}
    prompts = ["tea", "tell me about bread"]
    assert texts(ask_all(dr.VLLM(dr.SmolLM2().model, **settings), prompts)) == texts(ask_all(dr.Transformers(dr.SmolLM2(), **settings), prompts))


def test_engine_arguments_that_choose_the_answer_are_identity_and_those_that_place_the_work_are_not() -> None:
    plain = model().identity_fields()
    assert model(engine={"enforce_eager": True, "block_size": 32}).identity_fields() == plain
    chosen = [model(engine={"kv_cache_dtype": "fp8"}), model(engine={"hf_overrides": {"rope_theta": 7}}), model(engine={"kv_cache_dtype": "auto"})]
    assert len({str(llm.identity_fields()) for llm in (model(), *chosen)}) == 4


@pytest.mark.usefixtures("vllm")
def test_an_extra_that_vllm_has_not_is_named() -> None:
    with pytest.raises(SettingError, match="extra has no 'repeat_penalty' here; the same is called 'repetition_penalty'"):
        texts(ask_all(dr.VLLM(micro_causal(), max_tokens=2, extra={"repeat_penalty": 2.0}), ["x"]))
