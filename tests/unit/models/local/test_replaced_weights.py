"""Weights that are replaced while the process goes on: whatever is kept under a key was answered by the weights that the key names."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import OfflineError, SourceChangedError, TrainingError
from dreamframe.models.llms.llamacpp import LlamaCppClient
from dreamframe.models.local.memory import Resident, loaded_models
from dreamframe.models.local.weights import Pinned, content_digest
from dreamframe.models.request import Question
from tests.asking import requests
from tests.micro import micro_causal, micro_classifier, micro_encoder
from tests.micro_gguf import micro_gguf, micro_lora_gguf

pytestmark = pytest.mark.slow  # torch and transformers are loaded

ROWS = {"x": ["the kettle boils", "tell me about bread"]}
GREEDY = {"temperature": 0, "max_tokens": 8, "threads": 1}


def llamacpp(model: Path, rows: dr.Frame) -> dr.Frame:
    return rows.prompt(dr.LlamaCpp(model, **GREEDY), "{x}", into="y")


def transformers(model: Path, rows: dr.Frame) -> dr.Frame:
    return rows.prompt(dr.Transformers(model, **GREEDY), "{x}", into="y")


def from_gguf(model: Path, rows: dr.Frame) -> dr.Frame:
    return rows.prompt(dr.Transformers(str(model), **GREEDY), "{x}", into="y")


def embedded(model: Path, rows: dr.Frame) -> dr.Frame:
    return rows.embed(dr.SentenceTransformer(model, threads=1), "x", into="y")


def embedded_by_llamacpp(model: Path, rows: dr.Frame) -> dr.Frame:
    return rows.embed(dr.LlamaCppEmbedder(model, pooling="mean", threads=1), "x", into="y")


def classified(model: Path, rows: dr.Frame) -> dr.Frame:
    return rows.classify(dr.HFClassifier(model, threads=1), None, "x", into="y")


Plan = Callable[[Path, dr.Frame], dr.Frame]
KINDS = [
    pytest.param(llamacpp, micro_gguf, id="LlamaCpp"),
    pytest.param(transformers, micro_causal, id="Transformers"),
    pytest.param(from_gguf, micro_gguf, id="Transformers of a GGUF file"),
    pytest.param(embedded, micro_encoder, id="SentenceTransformer"),
    pytest.param(embedded_by_llamacpp, micro_gguf, id="LlamaCppEmbedder"),
    pytest.param(classified, micro_classifier, id="HFClassifier"),
]


def copied(model: Path, to: Path) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copytree(model, to) if model.is_dir() else shutil.copy(model, to))


def weights_of(model: Path) -> Path:
    return model / "model.safetensors" if model.is_dir() else model


def other_bytes(model: Path) -> bytes:
    """A file of the same size and header that answers otherwise: its last numbers are moved on by some places."""
    held = bytearray(weights_of(model).read_bytes())
    n = len(held) // 8
    numbers = np.frombuffer(held, dtype=np.float32, offset=len(held) - 4 * n, count=n)
    numbers[:] = np.roll(numbers, 5)
    return bytes(held)


def put(model: Path, data: bytes, *, in_place: bool) -> None:
    """New bytes under the old name: written into the file that is there, or a new file moved over it."""
    path = weights_of(model)
    if in_place:
        with path.open("r+b") as file:
            file.write(data)
        return
    (path.parent / "new").write_bytes(data)
    os.replace(path.parent / "new", path)


def answers(plan: Plan, model: Path, session: Any) -> list[dict[str, Any]]:
    with dr.Session(session, progress=False):
        made = plan(model, dr.frame(ROWS)).collect()
    return made.select(pl.exclude("x")).to_dicts()


@pytest.mark.parametrize("in_place", [True, False], ids=["written over", "moved over"])
@pytest.mark.parametrize(("plan", "source"), KINDS)
def test_weights_that_were_replaced_are_loaded_anew_and_answer_for_themselves(
    plan: Plan, source: Callable[[], Path], in_place: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DREAMFRAME_CACHE", str(tmp_path / "cache"))
    model, apart = (copied(source(), tmp_path / name / "model.gguf") for name in ("here", "there"))
    put(apart, other_bytes(apart), in_place=True)
    truth = answers(plan, apart, None)
    first = answers(plan, model, tmp_path / "session")
    assert first != truth
    put(model, other_bytes(model), in_place=in_place)
    assert answers(plan, model, tmp_path / "session") == truth
    assert answers(plan, copied(source(), tmp_path / "again" / "model.gguf"), tmp_path / "session") == first, "each under its own key"


@pytest.mark.parametrize(("plan", "source"), KINDS[:2] + KINDS[3:])
def test_weights_that_change_between_the_key_and_the_loading_answer_nothing(
    plan: Plan, source: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = copied(source(), tmp_path / "model.gguf")
    loading = Resident.start

    async def late(self: Any) -> Any:
        put(model, other_bytes(model), in_place=True)
        return await loading(self)

    with monkeypatch.context() as patch:
        patch.setattr(Resident, "start", late)
        with pytest.raises(SourceChangedError, match="replaced while the run was on"):
            answers(plan, model, tmp_path / "session")
    with dr.Session(tmp_path / "session", progress=False, offline=True), pytest.raises(OfflineError):
        plan(model, dr.frame(ROWS)).collect()
    assert answers(plan, model, tmp_path / "session"), "the next run is of what is there"


def test_a_run_goes_on_with_the_weights_that_it_began_with(tmp_path: Path) -> None:
    """Written over while they answer: what was loaded is the run's own, and neither crashes nor becomes a mixture."""
    model = copied(micro_gguf(), tmp_path / "model.gguf")
    rows = dr.frame({"x": [f"tell me about {i}" for i in range(6)]})
    truth = llamacpp(micro_gguf(), rows).collect()["y"].to_list()
    written: list[int] = []

    def overwrite(text: str) -> str:
        if not written:
            put(model, other_bytes(model), in_place=True)
            written.append(1)
        return text

    with dr.Session(None, progress=False, batch_rows=1):
        made = rows.prompt(dr.LlamaCpp(model, slots=1, **GREEDY), "{x}", parse=overwrite, into="y").collect()
    assert made["y"].to_list() == truth
    assert written


def test_what_was_loaded_from_replaced_weights_is_let_go_of(tmp_path: Path) -> None:
    model = copied(micro_gguf(), tmp_path / "model.gguf")

    async def main() -> tuple[int, bool]:
        clients = []
        for _ in range(3):
            question = Question(llm=dr.LlamaCpp(model, **GREEDY))
            clients.append(question.llm.open())  # type: ignore[attr-defined]
            await clients[-1].complete(requests(question, ["x"])[0])
            put(model, other_bytes(model), in_place=False)
        taken = list(loaded_models().models)
        await asyncio.gather(*(c.close() for c in clients))
        return len(taken), taken == [clients[-1]]

    assert asyncio.run(main()) == (1, True)


def test_one_that_is_busy_leaves_when_it_has_answered(tmp_path: Path) -> None:
    model = copied(micro_gguf(), tmp_path / "model.gguf")

    async def main() -> tuple[Any, list[Any], Any]:
        old, new = (Question(llm=dr.LlamaCpp(model, **{**GREEDY, "max_tokens": 60})), None)
        first = old.llm.open()  # type: ignore[attr-defined]
        await first.loaded()
        asked = asyncio.ensure_future(first.complete(requests(old, ["tell me"])[0]))
        await asyncio.sleep(0)
        put(model, other_bytes(model), in_place=False)
        new = Question(llm=dr.LlamaCpp(model, **GREEDY))
        second = new.llm.open()  # type: ignore[attr-defined]
        await second.complete(requests(new, ["tell me"])[0])
        done = await asked
        await first._farewell
        left = list(loaded_models().models)
        await second.close()
        return done.text, left, second

    text, left, second = asyncio.run(main())
    assert text
    assert left == [second]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("chat_template.jinja", "{% for m in messages %}say: {{ m['content'] }} {% endfor %}"),
        ("generation_config.json", '{"do_sample": false, "repetition_penalty": 9.0, "eos_token_id": 5}'),
        ("tokenizer.json", lambda text: json.dumps({**(held := json.loads(text)), "model": {**held["model"], "merges": held["model"]["merges"][:-3]}})),
    ],
    ids=["chat template", "generation config", "tokenizer"],
)
def test_each_file_of_a_folder_counts_in_a_running_process(name: str, change: Any, tmp_path: Path) -> None:
    model = copied(micro_causal(), tmp_path / "model")
    first = answers(transformers, model, tmp_path / "session")
    path = model / name
    path.write_text(change(path.read_text()) if callable(change) else change)
    apart = copied(model, tmp_path / "apart")
    assert answers(transformers, model, tmp_path / "session") == answers(transformers, apart, None)
    assert dr.Transformers(model).identity_fields() != dr.Transformers(micro_causal()).identity_fields()
    assert first == answers(transformers, micro_causal(), None)


def test_a_replaced_adapter_is_another_model(tmp_path: Path) -> None:
    adapter = copied(micro_lora_gguf(), tmp_path / "adapter.gguf")

    def plan(_: Path, rows: dr.Frame) -> dr.Frame:
        return rows.prompt(dr.LlamaCpp(micro_gguf(), adapter=str(adapter), **GREEDY), "{x}", into="y")

    first = answers(plan, adapter, tmp_path / "session")
    shutil.copy(micro_lora_gguf(seed=1), adapter)
    second = answers(plan, adapter, tmp_path / "session")
    assert second != first
    shutil.copy(micro_lora_gguf(seed=1), tmp_path / "apart.gguf")
    adapter = tmp_path / "apart.gguf"
    assert answers(plan, adapter, None) == second


def test_a_question_is_pinned_to_the_weights_of_its_moment(tmp_path: Path) -> None:
    model = copied(micro_gguf(), tmp_path / "model.gguf")
    llm = dr.LlamaCpp(model, **GREEDY)
    before, digest = Question(llm=llm), content_digest(model)
    put(model, other_bytes(model), in_place=True)
    after = Question(llm=llm)
    assert isinstance(before.llm.model, Pinned)  # type: ignore[attr-defined]
    assert before.llm.identity_fields()["model"] == digest
    assert before.key_prefix != after.key_prefix
    assert before.llm.pool_key() != after.llm.pool_key()  # type: ignore[attr-defined]
    assert Question(llm=before.llm).llm is before.llm, "pinned once"
    assert isinstance(LlamaCppClient(llm), Resident)
    with pytest.raises(SourceChangedError):
        before.llm.check_weights()  # type: ignore[attr-defined]
    after.llm.check_weights()  # type: ignore[attr-defined]


def test_parts_of_a_split_gguf_and_linked_folders_are_content(tmp_path: Path) -> None:
    parts = [tmp_path / f"m-0000{i}-of-00002.gguf" for i in (1, 2)]
    for part in parts:
        shutil.copy(micro_gguf(), part)
    whole = content_digest(parts[0])
    parts[1].write_bytes(other_bytes(micro_gguf()))
    assert content_digest(parts[0]) != whole
    folder, elsewhere = tmp_path / "embedder", tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.mkdir()
    (elsewhere / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (folder / "1_Pooling").symlink_to(elsewhere, target_is_directory=True)
    before = content_digest(folder)
    (elsewhere / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert content_digest(folder) != before
    (elsewhere / "back").symlink_to(folder, target_is_directory=True)
    content_digest(folder)  # a circle ends


@pytest.mark.parametrize("name", ["source.spm", "bpe.codes", "tokenizer.model.v3"])
def test_tokenizers_of_any_suffix_are_content(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("one")
    before = content_digest(tmp_path)
    (tmp_path / name).write_text("other")
    assert content_digest(tmp_path) != before


def test_weights_that_change_before_the_first_question_stop_the_run(tmp_path: Path) -> None:
    """The step's key was taken with the old ones: nothing of the new ones may be kept under it."""
    model = copied(micro_gguf(), tmp_path / "model.gguf")
    data = other_bytes(model)

    def overwrite(row: dict[str, Any]) -> dict[str, Any]:
        put(model, data, in_place=True)
        return {"z": row["x"]}

    written = dr.versioned(overwrite, version=1)
    plan = dr.frame({"x": ["tea"]}).map(written, schema={"z": pl.String}).prompt(dr.LlamaCpp(model, **GREEDY), "{z}", into="y")
    with dr.Session(tmp_path / "session", progress=False):
        with pytest.raises(SourceChangedError, match="replaced while the run was on"):
            plan.collect()
        assert plan.collect().height == 1


# Trainings


def trained_on(base: Path) -> dr.Frame:
    rows = dr.frame({"prompt": ["a", "b"], "completion": ["c", "d"]})
    model = rows.train(dr.SFT(str(base), steps=1, batch_size=2, device="cpu", learning_rate=1e-9))
    return dr.frame(ROWS).prompt(model.llm(**GREEDY), "{x}", into="y")


def test_what_is_made_with_a_trained_model_is_made_anew_when_its_base_is_replaced(tmp_path: Path) -> None:
    base = copied(micro_causal(), tmp_path / "base")

    def plan(model: Path, _: dr.Frame) -> dr.Frame:
        return trained_on(model)

    first = answers(plan, base, tmp_path / "session")
    put(base, other_bytes(base), in_place=True)
    apart = copied(base, tmp_path / "apart")
    second = answers(plan, base, tmp_path / "session")
    assert second != first
    assert second == answers(plan, apart, None)


def test_a_base_that_is_replaced_while_it_is_loaded_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamframe.trainers import loading

    base = copied(micro_causal(), tmp_path / "base")
    real = loading.own_memory

    def late(model: Any) -> Any:
        put(base, other_bytes(base), in_place=True)
        return real(model)

    with monkeypatch.context() as patch:
        patch.setattr(loading, "own_memory", late)
        with dr.Session(tmp_path / "session", progress=False), pytest.raises(TrainingError, match="replaced while they were loaded"):
            trained_on(base).collect()
    with dr.Session(tmp_path / "session", progress=False):
        assert trained_on(base).collect().height == 2


def test_a_trainings_key_stays_where_it_names_no_weights_of_this_machine(tmp_path: Path) -> None:
    rows = dr.frame({"prompt": ["a"], "completion": ["b"]})
    assert rows.train(dr.SFT("nowhere-at-all")).step.content({}) is None
    assert rows.train(dr.SFT("org/on-the-hub")).step.content({}) is None
    base = copied(micro_causal(), tmp_path / "base")
    step = rows.train(dr.SFT(str(base))).step
    before = step.content({})
    assert before is not None
    put(base, other_bytes(base), in_place=False)
    assert step.content({}) != before


def test_a_graph_is_of_the_weights_that_were_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that changes between loading and exporting must leave nothing in the cache under its new digest."""
    from dreamframe.models.embedders import sentence_engine

    monkeypatch.setenv("DREAMFRAME_CACHE", str(tmp_path / "cache"))
    model = copied(micro_encoder(), tmp_path / "model")
    real = sentence_engine.own_memory

    def late(loaded: Any) -> Any:
        put(model, other_bytes(model), in_place=True)
        return real(loaded)

    with monkeypatch.context() as patch:
        patch.setattr(sentence_engine, "own_memory", late)
        with pytest.raises(SourceChangedError):
            answers(embedded, model, None)
    assert not list((tmp_path / "cache").rglob("*.onnx"))


def test_a_conversion_of_a_file_that_changes_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamframe.models.local import weights

    monkeypatch.setenv("DREAMFRAME_CACHE", str(tmp_path / "cache"))
    model = copied(micro_gguf(), tmp_path / "model.gguf")
    real = weights._convert

    def late(gguf: Path, out: Path) -> None:
        put(model, other_bytes(model), in_place=True)
        real(gguf, out)

    with monkeypatch.context() as patch:
        patch.setattr(weights, "_convert", late)
        with pytest.raises(SourceChangedError):
            answers(from_gguf, model, None)
    assert not list((tmp_path / "cache" / "converted").iterdir())
