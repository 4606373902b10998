"""One model on several devices: processes of their own, the same answers, nothing lost when one dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

import dreamframe as dr
from dreamframe import errors
from dreamframe.errors import ContextLengthError, PermanentCallError, SettingError
from dreamframe.models.local.memory import loaded_models
from dreamframe.models.local.replica_wire import (
    completion_fields,
    completion_of,
    error_fields,
    error_of,
    request_fields,
    request_of,
    settings_fields,
)
from dreamframe.models.local.replicas import Replicas, devices_of
from dreamframe.models.request import Completion, Question, Request, Sampling
from dreamframe.run.loop import run
from tests.asking import ask_all, requests, texts
from tests.micro import micro_causal, micro_classifier

pytestmark = pytest.mark.slow  # torch and transformers are loaded

PROMPTS = [f"tell me about {t}" for t in ("tea", "bread", "coffee", "the lamp", "a kettle", "lines")]


def model(**settings: Any) -> dr.Transformers:
    return dr.Transformers(micro_causal(), **{"temperature": 1.0, "max_tokens": 8, "threads": 1, **settings})


# Sampling that crosses whole; the processes are started with it.
TWO: dict[str, Any] = {"extra": {"top_k": 3}, "stop": ["zzz"], "logit_bias": {"7": -1}}


class Asked(NamedTuple):
    """What a run over two devices gave, and the client that it left loaded, in dreamframe's own loop."""

    rows: list[dict[str, Any]]
    client: Replicas


@pytest.fixture(scope="module")
def two() -> Iterator[Asked]:
    """One pair of processes for all tests that need no other: each of them imports torch."""
    llm = model(temperature=0, device=["cpu", "cpu"], **TWO)

    async def loaded() -> list[Replicas]:
        return [m for m in loaded_models().models if isinstance(m, Replicas)]

    before = run(loaded())
    with dr.Session(None):
        rows = dr.frame({"t": PROMPTS}).prompt(llm, "{t}").to_dicts()
        (client,) = [c for c in run(loaded()) if c not in before]
    yield Asked(rows, client)
    assert llm.unload()


def asked_of(llm: dr.Transformers, prompts: list[str], samples: list[int] | None = None) -> list[Request]:
    return requests(Question(llm=llm, sampling=llm.sampling), prompts, samples)


def test_two_processes_give_the_answers_of_one_model(two: Asked) -> None:
    prompts, samples = [*PROMPTS, *PROMPTS], [0] * 6 + [1] * 6

    async def main() -> list[Any]:
        return await asyncio.gather(*(two.client.complete(r) for r in asked_of(model(device=["cpu", "cpu"], **TWO), prompts, samples)))

    assert texts(run(main())) == texts(ask_all(model(**TWO), prompts, samples=samples))


def test_requests_go_to_the_process_that_has_least_to_do_and_errors_come_back(two: Asked) -> None:
    client = two.client

    async def main() -> tuple[list[int], list[Any]]:
        replicas = [p.replica for p in await client.loaded() if p.replica is not None]
        tasks = [asyncio.create_task(client.complete(r)) for r in asked_of(model(device=["cpu", "cpu"], **TWO), [*PROMPTS, "tea " * 300])]
        while not all(r.waiting for r in replicas):
            await asyncio.sleep(0)
        counts = sorted(len(r.waiting) for r in replicas)
        return counts, await asyncio.gather(*tasks, return_exceptions=True)

    assert client.concurrency == 2 * 128
    counts, answers = run(main())
    assert counts[-1] - counts[0] <= 1
    assert isinstance(answers[-1], ContextLengthError)
    assert all(isinstance(a, Completion) for a in answers[:-1])


def test_when_all_processes_die_their_requests_are_asked_again(two: Asked) -> None:
    client = two.client

    async def main() -> tuple[Any, Any]:
        places = await client.loaded()
        (request,) = asked_of(model(device=["cpu", "cpu"], **TWO), ["tea"])
        first = await client.complete(request)
        for place in places:
            assert place.replica is not None
            os.kill(place.replica.process.pid, signal.SIGKILL)
        return first.text, (await client.complete(request)).text

    first, again = run(main())
    assert first == again


def test_a_run_over_two_devices_is_the_run_over_one(two: Asked) -> None:
    with dr.Session(None):
        one = dr.frame({"t": PROMPTS}).prompt(model(temperature=0, **TWO), "{t}").to_dicts()
    assert two.rows == one


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
    assert (sent["kind"], sent["fields"]["threads"], sent["fields"]["device"]) == ("MiniLM", 1, "cpu")
