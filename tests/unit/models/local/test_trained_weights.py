"""Trained models in a session's folder, whose files somebody changed after the process had looked at them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import SourceChangedError
from tests.micro import micro_causal, micro_classifier

pytestmark = pytest.mark.slow  # torch and transformers are loaded


def tuned() -> dr.Model:
    rows = dr.frame({"prompt": ["a", "b"], "completion": ["c", "d"]})
    return rows.train(dr.SFT(str(micro_causal()), steps=1, batch_size=2, device="cpu", peft={"r": 2, "target_modules": ["q_proj"]}))


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_trained_model_that_was_changed_in_its_folder_answers_nothing(name: str, tmp_path: Path) -> None:
    model = tuned()
    with dr.Session(tmp_path / "session", progress=False):
        path = model.path / name
        data = path.read_bytes()
        path.write_bytes(data[:-2] + bytes([data[-2] ^ 1, data[-1]]) if name.endswith("safetensors") else data + b" ")
        with pytest.raises(SourceChangedError, match="not those that its training wrote"):
            dr.frame({"x": ["a"]}).prompt(model.llm(threads=1), "{x}", into="y").collect()
        path.write_bytes(data)
        assert dr.frame({"x": ["a"]}).prompt(model.llm(threads=1, max_tokens=2), "{x}", into="y").collect().height == 1, "it was put back"


def test_an_adapters_labels_are_read_from_what_it_is(tmp_path: Path) -> None:
    """training.json is a record, and no part of an adapter's identity: what it says must not choose the answers."""
    from dreamframe.models.task_models.hf_engine import _trained_labels  # which imports torch

    rows = dr.frame({"text": ["a", "b"] * 2, "label": ["x", "y"] * 2})
    peft: dict[str, Any] = {"r": 2, "target_modules": ["query"]}
    with dr.Session(tmp_path / "session", progress=False):
        folder = rows.train(dr.Classifier(str(micro_classifier()), steps=1, batch_size=2, device="cpu", peft=peft)).path
    assert _trained_labels(folder) == ["x", "y"]
    record = json.loads((folder / "training.json").read_text())
    (folder / "training.json").write_text(json.dumps({**record, "labels": ["y", "x"]}))
    assert _trained_labels(folder) == ["x", "y"]
    (folder / "config.json").unlink()
    assert _trained_labels(folder) == ["y", "x"], "an older one has nothing else"
    assert _trained_labels(None) == []
