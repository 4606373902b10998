"""What a trainer's class says of itself is all that cards, adapters and errors need of it: a new one is one file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.trainers import kinds
from dreamframe.trainers.base import Trainer
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.kinds import CLASSIFIER, Kind
from dreamframe.trainers.roles import TEXT, Roles


@dataclass(frozen=True)
class Counter(Trainer):
    """Counts the rows: a trainer that dreamframe does not know."""

    kind: ClassVar[Kind] = Kind("counter", lambda repo, base: f'counted("{repo}")', library="counting", pipeline_tag="tabular-regression")
    ways: ClassVar[tuple[Roles, ...]] = (Roles({"text": TEXT}),)
    cites: ClassVar[tuple[str, ...]] = ("Counting (Peano 1889) https://example.org/arithmetices",)

    def run(self, job: TrainJob) -> dict[str, Any]:
        (job.out / "count.txt").write_text("1")
        return {"n_rows": 1}


def counted() -> dr.Model:
    return dr.frame({"text": ["a"]}).train(Counter("gpt2"))


def test_the_card_of_a_new_kind_says_what_its_trainer_says() -> None:
    card = counted().card("me/counter")
    for line in ("library_name: counting", "pipeline_tag: tabular-regression", 'counted("me/counter")'):
        assert line in card
    assert "| technique | Counting (Peano 1889) | – | <https://example.org/arithmetices> |" in card


def test_a_new_kind_is_trained_and_recorded_by_its_name(tmp_path: Path) -> None:
    with dr.Session(tmp_path / "s"):
        model = counted().fit()
        assert (model.path / "count.txt").read_text() == "1"
        assert model.summary()["kind"] == "counter"


@pytest.mark.parametrize("use", [dr.Model.llm, dr.Model.embedder, dr.Model.classifier, dr.Model.reward], ids=lambda use: use.__name__)
def test_what_a_new_kind_cannot_be_asked_for_is_said(use: Callable[[dr.Model], object]) -> None:
    with pytest.raises(SettingError, match=r"Counter does not make an? .*\(it makes: counter\)"):
        use(counted())


def test_an_own_trainer_of_a_kind_that_is_here_is_told_what_it_lacks() -> None:
    @dataclass(frozen=True)
    class Mine(Counter):
        kind: ClassVar[Kind] = CLASSIFIER

    with pytest.raises(SettingError, match=r"^Mine makes a classifier, and does not say how it is asked: give it a method as_classifier\(self, model, "):
        dr.frame({"text": ["a"]}).train(Mine("gpt2")).classifier()


def test_an_adapter_goes_on_only_where_adapters_of_its_kind_are_trained_on() -> None:
    @dataclass(frozen=True)
    class Other(dr.SFT):
        kind: ClassVar[Kind] = replace(kinds.LLM, adapter_task=None)

    rows = dr.frame({"prompt": ["a"], "completion": ["b"]})
    first = rows.train(dr.SFT("base", peft={"r": 2}))
    assert dr.SFT(first).is_adapter
    assert not Other(first).is_adapter


@pytest.mark.parametrize("trainer", [dr.SFT, dr.DPO, dr.Seq2Seq, dr.Reward], ids=lambda t: t.__name__)
def test_adapters_that_are_trained_on_are_pefts_own_task(trainer: Any) -> None:
    peft = pytest.importorskip("peft")
    assert trainer.kind.adapter_task in set(peft.TaskType)
