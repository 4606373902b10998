"""What the settings of models in this process share: what each kind refuses, who shares a client, and which process is told what to load."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import MissingExtraError, SettingError
from dreamframe.models.local.replica_wire import settings_fields
from dreamframe.models.local.replicas import Replicas
from dreamframe.models.local.settings import LocalSettings

ONE_DEVICE = (dr.Transformers, dr.SentenceTransformer, dr.HFClassifier, dr.RewardModel, dr.CrossEncoder, dr.SentenceClassifier)
KINDS = (*ONE_DEVICE, dr.VLLM)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{}")
    return tmp_path / "tiny"


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_is_the_text_of_it(kind: Any, weights: Path) -> None:
    assert (kind(weights).model, kind(weights).label) == (str(weights), "tiny")
    assert kind(weights).pool_key() == kind(str(weights)).pool_key()


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_that_no_model_can_have_is_refused_in_the_name_of_the_class(kind: Any) -> None:
    with pytest.raises(SettingError, match=rf"^{kind.__name__}: concurrency=0; give a whole number"):
        kind("a/b", concurrency=0)


@pytest.mark.parametrize("kind", ONE_DEVICE)
def test_a_dtype_that_torch_does_not_have_is_refused(kind: Any) -> None:
    with pytest.raises(SettingError, match=rf"^{kind.__name__}: dtype='int3' is not one of 'float32'"):
        kind("a/b", dtype="int3")


def test_vllm_names_its_own_dtypes() -> None:
    assert dr.VLLM("a/b", dtype="half").dtype == "half"


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_of_how_a_model_is_loaded_makes_a_client_of_its_own(kind: Any, weights: Path) -> None:
    one: LocalSettings = kind(weights)
    skipped = {"model", "adapter", "authority", "length", *one.outside_identity}
    others = [f.name for f in dataclasses.fields(one) if f.name not in skipped]
    assert len({one.pool_key(), *(changed(one, name, '{"x": 1}').pool_key() for name in others)}) == len(others) + 1


@pytest.mark.parametrize("kind", [dr.Transformers, dr.VLLM])
def test_what_each_question_holds_shares_the_client(kind: Any, weights: Path) -> None:
    assert kind(weights, temperature=0, system="Be brief.").pool_key() == kind(weights, seed=3).pool_key()


def test_a_length_that_a_plan_told_loads_the_model_no_second_time(weights: Path) -> None:
    assert dr.SentenceTransformer(str(weights), length=3).pool_key() == dr.SentenceTransformer(str(weights)).pool_key()


@pytest.mark.parametrize("kind", ONE_DEVICE)
def test_each_of_several_devices_loads_the_class_that_was_asked(kind: Any, weights: Path) -> None:
    """A reward model that was loaded as a classifier would call every text the best there is."""
    settings = kind(weights, device=["cpu", "cpu"])
    assert isinstance(settings.open(), Replicas)
    assert settings_fields(settings, "cpu", share=2)["kind"] == kind.__name__


@pytest.mark.parametrize("kind", ONE_DEVICE)
def test_a_missing_library_is_named(kind: Any, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=kind.needs[0]):
        kind(weights).open()


def changed(settings: LocalSettings, name: str, value: object) -> LocalSettings:
    made = dataclasses.replace(settings)
    object.__setattr__(made, name, value)
    return made
