"""dr.LlamaCpp on a GGUF file that this test session writes."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import BadReplyError, BadRequestError, ContextLengthError, PermanentCallError, SettingError
from dreamframe.models.llms.llamacpp import Answer, body
from dreamframe.models.request import Question, Sampling
from dreamframe.prompts.answer_schema import AnswerSchema
from tests.asking import ask_all, requests, texts
from tests.micro import micro_causal
from tests.micro_gguf import micro_gguf, micro_lora_gguf

pytestmark = pytest.mark.slow  # torch and transformers are loaded

PROMPTS = [f"tell me about {thing} " * (i % 4 + 1) for i, thing in enumerate(["tea", "coffee", "bread", "the lamp", "a kettle", "yes", "no", "line"])]


def greedy(**settings: Any) -> dr.LlamaCpp:
    return dr.LlamaCpp(micro_gguf(), **{"temperature": 0, "max_tokens": 8, "threads": 1, **settings})


def asked(prompt: str = "x", *, is_chat: bool = True, **question: Any) -> dict[str, Any]:
    (request,) = requests(Question(llm=greedy(), **question), [prompt])
    return body(request, is_chat=is_chat)


# Settings and identity


def test_identity_is_content_not_path(tmp_path: Path) -> None:
    shutil.copy(micro_gguf(), tmp_path / "another-name.gguf")
    assert dr.LlamaCpp(tmp_path / "another-name.gguf").identity_fields() == dr.LlamaCpp(micro_gguf()).identity_fields()
    assert greedy(slots=9, threads=3, gpu_layers=0).identity_fields() == greedy().identity_fields()
    assert greedy(n_ctx=64).identity_fields() != greedy().identity_fields()


@pytest.mark.parametrize("settings", [{"n_ctx": 0}, {"slots": 0}, {"threads": 1.5}], ids=lambda s: next(iter(s)))
def test_impossible_settings_are_refused_where_they_are_written(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(settings))):
        dr.LlamaCpp("model.gguf", **settings)


def test_a_file_that_does_not_exist_is_said_to() -> None:
    with pytest.raises(SettingError, match="no such file"):
        dr.LlamaCpp("nowhere.gguf").identity_fields()


def test_a_file_that_is_no_model_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "short.gguf").write_bytes(micro_gguf().read_bytes()[:60_000])
    errors = ask_all(dr.LlamaCpp(tmp_path / "short.gguf", threads=1), ["x", "y"])
    assert all(isinstance(e, PermanentCallError) and e.stops_run and "could not be loaded" in str(e) for e in errors)


# Requests


def test_a_request_carries_what_was_set_and_nothing_else() -> None:
    sampling = Sampling.of(max_tokens=3, temperature=0, stop=["x"], logit_bias={"7": 1, "tea": -2}, extra={"top_k": 4})
    sent = asked("hi", system="be brief", sampling=sampling)
    assert sent.pop("seed") >= 0
    assert sent == {
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "max_tokens": 3,
        "temperature": 0.0,
        "stop": ["x"],
        "logit_bias": [[7, 1.0], ["tea", -2.0]],
        "top_k": 4,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_each_sample_has_a_seed_of_its_own_that_repeats() -> None:
    question = Question(llm=greedy(), sampling=Sampling.of(seed=3))
    seeds = [body(r, is_chat=True)["seed"] for r in requests(question, ["x"] * 3, samples=range(3))]
    assert len(set(seeds)) == 3
    assert seeds == [body(r, is_chat=True)["seed"] for r in requests(question, ["x"] * 3, samples=range(3))]


def test_a_base_models_prompt_is_the_system_prompt_and_the_text() -> None:
    assert asked("hi", system="sys", is_chat=False)["prompt"] == "sys\n\nhi"


def test_an_answer_that_was_given_up_is_no_answer() -> None:
    answer = Answer(lambda: True)
    assert answer.add({"choices": [{"delta": {"content": "half"}, "finish_reason": None}]}) is True
    with pytest.raises(BadReplyError, match="given up"):
        answer.completion("m")


def test_reasoning_is_kept_beside_the_answer() -> None:
    answer = Answer(lambda: False)
    for delta, finish in [({"reasoning_content": "hm"}, None), ({"content": "so"}, "stop")]:
        answer.add({"choices": [{"delta": delta, "finish_reason": finish}]})
    done = answer.completion("m")
    assert (done.text, done.extra) == ("so", '{"reasoning": "hm"}')


# The engine


def test_it_answers_as_transformers_does_with_the_same_weights() -> None:
    theirs = texts(ask_all(dr.Transformers(micro_causal(), temperature=0, max_tokens=8, threads=1), PROMPTS))
    ours = texts(ask_all(greedy(), PROMPTS))
    pairs = list(zip(ours, theirs, strict=True))
    assert all(b.startswith(a) for a, b in pairs), pairs  # llama.cpp leaves out half characters, and ends at any token that looks like an end
    assert sum(a == b for a, b in pairs) > len(pairs) // 2
    assert len(set(ours)) > 4


def test_tokens_and_finish_are_counted() -> None:
    (answer,) = ask_all(greedy(max_tokens=5), ["tell me about bread"])
    assert (answer.finish, answer.n_out, answer.model) == ("length", 5, micro_gguf().name)
    assert answer.n_in == 33


def test_a_lora_adapter_is_used_kept_and_part_of_the_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = greedy(adapter=micro_lora_gguf())
    plain, changed = texts(ask_all(greedy(), PROMPTS)), texts(ask_all(tuned, PROMPTS))
    assert sum(a != b for a, b in zip(plain, changed, strict=True)) > len(PROMPTS) // 2
    shutil.copy(micro_lora_gguf(), tmp_path / "moved.gguf")
    assert greedy(adapter=tmp_path / "moved.gguf").identity_fields() == tuned.identity_fields()
    assert len({str(llm.identity_fields()) for llm in (greedy(), tuned, greedy(adapter=micro_lora_gguf(seed=1)))}) == 3
    df = dr.frame({"p": PROMPTS}).prompt(tuned, "{p}", into="a")
    with dr.Session(tmp_path / "session", progress=False):
        assert df.collect().get_column("a").to_list() == changed
    tuned.unload()
    monkeypatch.setattr("xllamacpp.Server", None)
    with dr.Session(tmp_path / "session", progress=False) as session:
        assert df.with_columns(n=1).collect().get_column("a").to_list() == changed
    assert session.usage()["calls"] == 0


@pytest.mark.parametrize("slots", [8, 32])
def test_64_greedy_requests_give_the_same_answers_one_by_one_together_and_shuffled(slots: int) -> None:
    prompts = [f"{i}. {PROMPTS[i % 8]}" for i in range(64)]
    alone = texts(ask_all(greedy(slots=1), prompts, one_by_one=True))
    assert len(set(alone)) > 20, "the answers tell the rows apart"
    assert texts(ask_all(greedy(slots=slots), prompts)) == alone
    order = random.Random(0).sample(range(64), 64)
    assert texts(ask_all(greedy(slots=slots), [prompts[i] for i in order])) == [alone[i] for i in order]


def test_samples_repeat_and_differ() -> None:
    llm = greedy(temperature=1.0, slots=1)
    answers = texts(ask_all(llm, ["tea"] * 5, samples=range(5)))
    assert len(set(answers)) == 5
    assert texts(ask_all(llm, ["tea"] * 5, samples=range(5))) == answers


def test_a_prompt_over_the_context_fails_alone() -> None:
    error, answer = ask_all(greedy(n_ctx=256), ["tea " * 300, "bread"])
    assert isinstance(error, ContextLengthError)
    assert "n_ctx" in str(error)
    assert answer.finish == "length"


def test_a_base_model_continues_the_prompt() -> None:
    llm = dr.LlamaCpp(micro_gguf(chat=False), temperature=0, max_tokens=4, threads=1)
    (answer,) = ask_all(llm, ["tell me about bread"])
    (chat,) = ask_all(greedy(), ["tell me about bread"])
    assert answer.n_in < chat.n_in


def test_chat_messages_are_sent_as_they_are() -> None:
    chat = [{"role": "user", "content": "tea"}, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "bread"}]
    short, long = ask_all(greedy(), [json.dumps(chat[:1]), json.dumps(chat)], form="messages")
    assert long.n_in > short.n_in


def test_every_answer_under_a_schema_is_a_value_of_it() -> None:
    held = AnswerSchema.of(["positive", "negative"])
    assert held is not None
    answers = texts(ask_all(greedy(temperature=1.0, max_tokens=20), PROMPTS, json_schema=held.json_schema))
    assert {held.parse(a) for a in answers} <= {"positive", "negative"}


def test_a_schema_that_cannot_be_decoded_fails_the_row() -> None:
    (error,) = ask_all(greedy(), ["x"], json_schema='{"type": "what"}')
    assert isinstance(error, BadRequestError)


def test_a_cancelled_request_frees_its_slot() -> None:
    llm = greedy(slots=1, max_tokens=200, n_ctx=256, logit_bias={"a": 100})

    async def main() -> str | None:
        client = llm.open()
        endless, short = requests(Question(llm=llm, sampling=llm.sampling), ["tea", "bread"])
        task = asyncio.create_task(client.complete(endless))
        await asyncio.sleep(0)
        task.cancel()
        answer = await client.complete(short)
        await client.close()
        return answer.text

    assert asyncio.run(main()) == "a" * 200


def test_nothing_of_llama_cpp_is_printed() -> None:
    code = (
        "import dreamframe as dr, sys\n"
        f"llm = dr.LlamaCpp({str(micro_gguf())!r}, temperature=0, max_tokens=4, threads=1)\n"
        "with dr.Session(None):\n"
        "    print(dr.frame({'t': ['tea']}).prompt(llm, '{t}').collect().height)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1\n", "")
