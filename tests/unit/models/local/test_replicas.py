"""One model on several devices: processes of their own, the same answers, nothing lost when one dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

import pytest

import dreamframe as dr
from dreamframe import errors
from dreamframe.errors import ConnectionFailedError, ContextLengthError, PermanentCallError, SettingError
from dreamframe.models.local.replicas import (
    Replicas,
    completion_fields,
    completion_of,
    devices_of,
    error_fields,
    error_of,
    request_fields,
    request_of,
    settings_fields,
)
from dreamframe.models.request import Completion, Question, Request, Sampling
from tests.asking import ask_all, requests, texts
from tests.micro import micro_causal, micro_classifier

pytestmark = pytest.mark.slow  # torch and transformers are loaded

PROMPTS = [f"tell me about {t}" for t in ("tea", "bread", "coffee", "the lamp", "a kettle", "lines")]


def model(**settings: Any) -> dr.Transformers:
    return dr.Transformers(micro_causal(), **{"temperature": 1.0, "max_tokens": 8, "threads": 1, **settings})


def test_two_processes_give_the_answers_of_one_model() -> None:
    both = texts(ask_all(model(device=["cpu", "cpu"]), [*PROMPTS, *PROMPTS], samples=[0] * 6 + [1] * 6))
    assert both == texts(ask_all(model(), [*PROMPTS, *PROMPTS], samples=[0] * 6 + [1] * 6))


def test_requests_go_to_the_process_that_has_least_to_do_and_errors_come_back() -> None:
    llm = model(device=["cpu", "cpu"], extra={"top_k": 3}, stop=["zzz"], logit_bias={"7": -1})

    async def main() -> tuple[list[int], list[Any]]:
        client = llm.open()
        assert isinstance(client, Replicas)
        assert client.concurrency == 2 * 128
        replicas = await client.loaded()
        asked = requests(Question(llm=llm, sampling=llm.sampling), [*PROMPTS, "tea " * 300])
        tasks = [asyncio.create_task(client.complete(r)) for r in asked]
        while not all(r.waiting for r in replicas):
            await asyncio.sleep(0)
        counts = sorted(len(r.waiting) for r in replicas)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()
        return counts, answers

    counts, answers = asyncio.run(main())
    assert counts[-1] - counts[0] <= 1
    assert isinstance(answers[-1], ContextLengthError)
    assert all(isinstance(a, Completion) for a in answers[:-1])


def test_when_a_process_dies_its_requests_are_asked_again() -> None:
    llm = model(device=["cpu", "cpu"])

    async def main() -> tuple[Any, Any]:
        client = llm.open()
        assert isinstance(client, Replicas)
        replicas = await client.loaded()
        (request,) = requests(Question(llm=llm, sampling=llm.sampling), ["tea"])
        first = await client.complete(request)
        for replica in replicas:
            os.kill(replica.process.pid, signal.SIGKILL)
            await asyncio.gather(replica.reading, return_exceptions=True)
        with pytest.raises(ConnectionFailedError):  # transient: whoever asked tries again
            await client.complete(request)
        again = await client.complete(request)
        await client.close()
        return first.text, again.text

    first, again = asyncio.run(main())
    assert first == again


def test_a_run_over_two_devices_is_the_run_over_one() -> None:
    rows = {"t": PROMPTS}
    with dr.Session(None):
        one = dr.frame(rows).prompt(model(temperature=0), "{t}").to_dicts()
    with dr.Session(None):
        llm = model(temperature=0, device=["cpu", "cpu"])
        assert dr.frame(rows).prompt(llm, "{t}").to_dicts() == one
        assert llm.unload()


def test_a_model_that_cannot_be_loaded_is_said_so_by_its_process() -> None:
    with pytest.raises(SettingError, match=r"no config\.json"):
        texts(ask_all(dr.Transformers(str(micro_causal().parent), device=["cpu", "cpu"]), ["x"]))


def test_classifiers_have_processes_too() -> None:
    settings = {"threads": 1}
    both = texts(ask_all(dr.HFClassifier(micro_classifier(), device=["cpu", "cpu"], **settings), PROMPTS, form="input"))
    one = texts(ask_all(dr.HFClassifier(micro_classifier(), **settings), PROMPTS, form="input"))
    for there, here in zip(map(json.loads, both), map(json.loads, one), strict=True):
        assert there == {"label": here["label"], "score": pytest.approx(here["score"], abs=1e-5)}


@pytest.mark.parametrize("device", [[], ["cpu", 1], 3, ["auto", "cpu"]], ids=str)
def test_what_is_no_device_is_refused(device: Any) -> None:
    with pytest.raises(SettingError, match="give a device such as"):
        devices_of(device, who="X")


def test_devices_are_no_identity_and_one_in_a_list_is_one() -> None:
    assert model(device=["cpu", "cpu"]).identity_fields() == model().identity_fields()
    assert model(device=["cpu"]).device == "cpu"


# What crosses


def test_requests_and_completions_cross_whole() -> None:
    llm = model()
    question = Question(llm=llm, system="s", sampling=Sampling.of(temperature=0, stop=["x"], logit_bias={"1": 2}), json_schema="{}", form="messages")
    request = Request(question, "[]", 3, bytes(range(16)))
    there = request_of(request_fields(request), llm)
    assert (there.question, there.prompt, there.sample, there.key, there.seed) == (question, "[]", 3, request.key, request.seed)
    completion = Completion("t", finish="length", data=b"\x00\xff", n_in=1, n_out=2, n_cached=3, n_reasoning=4, model="m", extra="{}")
    back = completion_of(completion_fields(completion))
    assert all(getattr(back, name) == getattr(completion, name) for name in Completion.__slots__)


def test_errors_cross_by_name_and_strangers_as_permanent() -> None:
    stopping = PermanentCallError("gone")
    stopping.stops_run = True
    assert error_of(error_fields(stopping)).stops_run  # type: ignore[attr-defined]
    assert isinstance(error_of(error_fields(ContextLengthError("long"))), ContextLengthError)
    stranger = error_of(error_fields(KeyError("k")))
    assert isinstance(stranger, PermanentCallError)
    assert "KeyError" in str(stranger)
    assert isinstance(error_of({"error": "listed", "message": "m", "stops_run": False}), PermanentCallError)
    assert hasattr(errors, "listed")  # a name of the module that is no error


def test_processors_are_shared_evenly() -> None:
    sent = settings_fields(dr.MiniLM(), "cpu", share=1000)
    assert (sent["kind"], sent["fields"]["threads"], sent["fields"]["device"]) == ("SentenceTransformer", 1, "cpu")
