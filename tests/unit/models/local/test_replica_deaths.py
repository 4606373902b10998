"""Processes of a model that die, or whose engine breaks: no row is lost, none is asked without end, and who is to blame is named."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import DreamframeError, PermanentCallError, SettingError
from dreamframe.models.local import replica
from dreamframe.models.local.memory import loaded_models
from dreamframe.models.local.replicas import Replicas, places_of
from dreamframe.run.loop import run
from tests.asking import ask_all, texts
from tests.micro_gguf import micro_gguf

pytestmark = pytest.mark.slow  # processes that load llama.cpp

MAPPED = {"max_memory": {0: "1GiB"}}
FAULTS = """
import os, signal, threading
from dreamframe.models.llms import llamacpp
whole, log, n, raises_at = llamacpp.LlamaCppClient.answer, os.environ["ASKED"], [0], int(os.environ.get("RAISES_AT", 0))
if os.environ.get("DIES_LOADING"):
    os.kill(os.getpid(), signal.SIGKILL)
async def answer(self, engine, request):
    with open(log, "a") as file:
        file.write(request.prompt + chr(10))
    n[0] += 1
    if raises_at and n[0] >= raises_at and not os.path.exists(log + ".raised"):
        open(log + ".raised", "w").close()
        raise RuntimeError("the engine broke")
    if "poison" in request.prompt:
        os.kill(os.getpid(), signal.SIGSEGV)
    return await whole(self, engine, request)
llamacpp.LlamaCppClient.answer = answer
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the processes write down what they are asked."""
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "sitecustomize.py").write_text(FAULTS)
    monkeypatch.syspath_prepend(tmp_path / "planted")
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    monkeypatch.setattr(replica, "BACKOFF_S", 0.01)
    return tmp_path / "asked"


def model(**settings: Any) -> dr.LlamaCpp:
    return dr.LlamaCpp(micro_gguf(), **{"temperature": 0, "max_tokens": 4, "threads": 1, "replicas": 2, **settings})


def rows_of(llm: dr.LlamaCpp, prompts: list[str], **how: Any) -> list[str]:
    with dr.Session(None, progress=False):
        return dr.frame({"t": prompts}).prompt(llm, "{t}", into="a", **how).collect()["a"].to_list()


def processes() -> list[int]:
    """Of the replicas that dreamframe's own loop has loaded."""

    async def found() -> list[int]:
        places = [p for m in loaded_models().models if isinstance(m, Replicas) for p in await m.loaded()]
        return [p.replica.process.pid for p in places if p.replica is not None]

    return run(found())


def test_a_process_that_is_killed_in_mid_run_loses_no_row(asked: Path) -> None:
    prompts, killed = [f"tell me about {i}" for i in range(60)], []

    def kill(text: str) -> str:
        if not killed:
            killed.append(processes()[0])
            os.kill(killed[0], signal.SIGKILL)
        return text

    llm = model()
    try:
        assert rows_of(llm, prompts, parse=kill) == rows_of(model(replicas=None), prompts)
        assert killed
        n_asked = len(asked.read_text().splitlines())
        assert len(prompts) <= n_asked <= len(prompts) + llm.slots
    finally:
        assert llm.unload()


def test_a_process_that_raises_at_its_hundredth_request_loses_no_row(asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAISES_AT", "100")
    prompts, llm = [f"about {i}" for i in range(240)], model()
    try:
        made = rows_of(llm, prompts, on_error="null")  # a few of the micro model's answers are empty
        assert Path(f"{asked}.raised").exists()
        assert len(asked.read_text().splitlines()) == len(prompts) + 1
        assert made == rows_of(model(replicas=None), prompts, on_error="null")
    finally:
        assert llm.unload()


def test_a_request_that_ends_its_process_is_blamed_and_no_other(asked: Path) -> None:
    prompts = [*(f"about {i}" for i in range(6)), "poison", *(f"of {i}" for i in range(6))]
    made = ask_all(model(), prompts)
    failed = [p for p, a in zip(prompts, made, strict=True) if isinstance(a, Exception)]
    assert failed == ["poison"]
    assert "ended the process that it was asked in 3 times, the last time alone" in str(made[6])
    assert asked.read_text().splitlines().count("poison") == 3
    assert texts([a for a in made if not isinstance(a, Exception)]) == texts(ask_all(model(replicas=None), [p for p in prompts if p != "poison"]))


def test_processes_that_die_again_and_again_end_as_one_clear_error(asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIES_LOADING", "1")
    with pytest.raises(DreamframeError, match=r"replica \d of 2: its process ended 5 times in a row without an answer.*SIGKILL.*fewer replicas="):
        rows_of(model(), ["a", "b"])


def test_processes_end_with_the_one_that_started_them() -> None:
    """Killed, it can close nothing: its processes see that their input has ended."""
    script = (
        "import asyncio, sys, dreamframe as dr\n"
        "async def main():\n"
        f"    places = await dr.LlamaCpp({str(micro_gguf())!r}, replicas=2, threads=1).open().loaded()\n"
        "    print(*(p.replica.process.pid for p in places), flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=env) as parent:
        assert parent.stdout is not None
        pids = [int(p) for p in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    until = time.monotonic() + 30
    while (left := [p for p in pids if is_running(p)]) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == []


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_replicas_are_no_identity() -> None:
    assert model().identity_fields() == model(replicas=None).identity_fields()
    assert model().pool_key() != model(replicas=None).pool_key()


@pytest.mark.parametrize(
    ("settings", "places"),
    [
        ({}, ()),
        ({"replicas": 1}, ()),
        ({"replicas": 2}, (None, None)),
        ({"replicas": 2, "device": "cuda"}, ("cuda", "cuda")),
        ({"device": ["cuda:0", "cuda:1"]}, ("cuda:0", "cuda:1")),
        ({"replicas": 3, "device": ["cuda:0", "cuda:1"]}, ("cuda:0", "cuda:1", "cuda:0")),
    ],
    ids=str,
)
def test_devices_are_shared_out(settings: dict[str, Any], places: tuple[Any, ...]) -> None:
    assert places_of(dr.Transformers("org/model", **settings)) == places


@pytest.mark.parametrize(
    "settings",
    [
        {"replicas": 0},
        {"replicas": True},
        {"replicas": 1, "device": ["cpu", "cpu"]},
        {"replicas": 2, "device": "auto"},
        {"replicas": 2, "load": {"max_memory": {0: "1GiB"}}},
    ],
    ids=str,
)
def test_replicas_that_there_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="Transformers: replicas="):
        dr.Transformers("org/model", **settings)


def test_all_places_given_up_in_mid_run_is_an_error_that_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    llm, gone = model(), PermanentCallError("gone for good")

    async def main() -> None:
        client = llm.open()
        assert isinstance(client, Replicas)
        for place in await client.loaded():
            place.error, place.replica = gone, None
        with pytest.raises(PermanentCallError, match="gone for good"):
            await client.complete(_request(llm))
        assert await client.complete(_request(llm)), "the next run starts new processes"
        await client.close()

    asyncio.run(main())


def _request(llm: dr.LlamaCpp) -> Any:
    from dreamframe.models.request import Question
    from tests.asking import requests

    return requests(Question(llm=llm, sampling=llm.sampling), ["hello"])[0]
