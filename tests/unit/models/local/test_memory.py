"""Models that hold memory: who is loaded, who makes room, what a plan of two models does with room for one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

import dreamframe as dr
from dreamframe.errors import PermanentCallError
from dreamframe.models.base import LLM, Client, steering
from dreamframe.models.local.memory import LoadedModels, Resident, available_bytes, loaded_models, n_bytes_of, unload
from dreamframe.models.request import Completion, Question, Request
from tests.asking import requests
from tests.micro_gguf import micro_gguf

pytestmark = pytest.mark.slow  # torch and transformers are loaded


class Diary:
    """What happened to the models of a test, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.loaded: set[str] = set()
        self.most_loaded = 0


@dataclass(frozen=True)
class Local(LLM):
    """A model of this process that answers with its name and the prompt."""

    diary: Any = steering()
    size: int = steering(0)
    concurrency: int = steering(8)
    provider: ClassVar[str] = "local"

    def unload(self) -> bool:
        return unload(self)

    def pool_key(self) -> str:
        return f"local {self.model} {id(self.diary)}"

    def open(self) -> Client:
        return LocalClient(self)


class LocalClient(Resident[str]):
    settings: Local

    @property
    def n_bytes(self) -> int:
        return self.settings.size

    def load(self) -> str:
        diary = self.settings.diary
        diary.events.append(f"load {self.settings.model}")
        diary.loaded.add(self.settings.model)
        diary.most_loaded = max(diary.most_loaded, len(diary.loaded))
        if self.settings.model == "broken":
            raise OSError("no such weights")
        return self.settings.model

    async def answer(self, engine: str, request: Request) -> Completion:
        await asyncio.sleep(0)
        assert engine in self.settings.diary.loaded
        return Completion(f"{engine}({request.prompt})", model=engine)

    async def release(self, engine: str) -> None:
        self.settings.diary.events.append(f"unload {engine}")
        self.settings.diary.loaded.discard(engine)


def ask(client: Client, llm: LLM, prompt: str) -> Any:
    return client.complete(requests(Question(llm=llm), [prompt])[0])


def test_a_model_is_loaded_once_and_when_first_asked() -> None:
    diary = Diary()

    async def main() -> None:
        llm = Local("a", diary=diary)
        client = llm.open()
        assert diary.events == []
        await asyncio.gather(*(ask(client, llm, str(i)) for i in range(20)))
        await client.close()

    asyncio.run(main())
    assert diary.events == ["load a", "unload a"]


def test_with_room_for_one_an_idle_model_makes_room() -> None:
    diary = Diary()

    async def main() -> None:
        with loaded_models().at_most(1):
            a, b = Local("a", diary=diary), Local("b", diary=diary)
            clients = {"a": a.open(), "b": b.open()}
            for llm in (a, b, b, a):
                await ask(clients[llm.model], llm, "x")

    asyncio.run(main())
    assert diary.events == ["load a", "unload a", "load b", "unload b", "load a"]
    assert diary.most_loaded == 1


def test_a_busy_model_is_waited_for() -> None:
    diary = Diary()

    async def main() -> list[Completion]:
        with loaded_models().at_most(1):
            a, b = Local("a", diary=diary), Local("b", diary=diary)
            client_a, client_b = a.open(), b.open()
            return await asyncio.gather(*(ask(client_a, a, str(i)) for i in range(50)), *(ask(client_b, b, str(i)) for i in range(50)))

    answers = asyncio.run(main())
    assert [c.text for c in answers] == [f"a({i})" for i in range(50)] + [f"b({i})" for i in range(50)]
    assert diary.events == ["load a", "unload a", "load b"]


def test_models_leave_when_memory_is_tight_the_longest_idle_first() -> None:
    diary = Diary()
    memory = 1000

    async def main() -> None:
        loaded = loaded_models()
        loaded._available = lambda: memory - 300 * len(diary.loaded)
        for name in ("a", "b", "c", "d"):
            llm = Local(name, diary=diary, size=300)
            await ask(llm.open(), llm, "x")

    asyncio.run(main())
    assert diary.events == ["load a", "load b", "load c", "unload a", "load d"] or diary.events[:4] == ["load a", "load b", "unload a", "load c"]
    assert diary.most_loaded < 4


def test_a_model_that_cannot_be_loaded_gives_its_room_back() -> None:
    diary = Diary()

    async def main() -> str | None:
        with loaded_models().at_most(1):
            broken, good = Local("broken", diary=diary), Local("a", diary=diary)
            with pytest.raises(PermanentCallError, match="could not be loaded: OSError: no such weights") as caught:
                await ask(broken.open(), broken, "x")
            assert caught.value.stops_run
            return (await ask(good.open(), good, "x")).text

    assert asyncio.run(main()) == "a(x)"


def test_a_request_that_meets_the_unloading_of_its_model_loads_it_again() -> None:
    diary = Diary()

    async def main() -> str | None:
        llm = Local("a", diary=diary)
        client = llm.open()
        await ask(client, llm, "x")
        assert isinstance(client, Resident)
        leaving = asyncio.create_task(client.unload())
        await asyncio.sleep(0)
        answer = await ask(client, llm, "y")
        await leaving
        return answer.text

    assert asyncio.run(main()) == "a(y)"
    assert diary.events == ["load a", "unload a", "load a"]


def test_unload_gives_the_memory_back_and_says_whether_there_was_any() -> None:
    llm = dr.LlamaCpp(micro_gguf(), temperature=0, max_tokens=4, threads=1)
    with dr.Session(None):
        frame = dr.frame({"t": ["tea"]}).prompt(llm, "{t}")
        llm.unload()  # another test may have loaded the same weights
        assert not llm.unload()
        first = frame.to_dicts()
        assert replace(llm, max_tokens=9, system="Be brief.").unload(), "whatever it is asked for, it is one engine"
        assert not llm.unload()
    with dr.Session(None):
        assert frame.to_dicts() == first  # loaded again
    llm.unload()


def test_two_models_with_room_for_one_are_run_one_after_the_other() -> None:
    diary = Diary()
    a, b = Local("a", diary=diary, temperature=0), Local("b", diary=diary, temperature=0)
    rows = dr.frame({"t": [str(i) for i in range(2000)]}).prompt(a, "{t}", into="x").prompt(b, "{x}", into="y")
    with dr.Session(None, max_models_in_memory=1):
        made = rows.collect()
    assert made["y"].to_list() == [f"b(a({i}))" for i in range(2000)]
    assert diary.events == ["load a", "unload a", "load b"]
    assert diary.most_loaded == 1


def test_the_limit_of_a_run_holds_while_it_is_on_and_not_for_the_next() -> None:
    async def main() -> list[int | None]:
        place, seen = loaded_models(), []
        with place.at_most(3):
            with place.at_most(1), place.at_most(None):
                seen.append(place.most)
            seen.append(place.most)
        return [*seen, place.most]

    assert asyncio.run(main()) == [1, 3, None]


def test_the_system_says_what_memory_is_free() -> None:
    free = available_bytes()
    assert free is None or free > 0
    assert n_bytes_of(micro_gguf()) == micro_gguf().stat().st_size


def test_each_loop_has_loaded_models_of_its_own() -> None:
    async def mine() -> LoadedModels:
        return loaded_models()

    assert asyncio.run(mine()) is not asyncio.run(mine())
