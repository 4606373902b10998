"""A device that is named and is not there: an error before anything is read, asked or loaded, never the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.models.local.devices import no_device
from tests.micro import micro_causal, micro_classifier, micro_encoder

pytestmark = pytest.mark.models
SAID = r"device='cuda:63', but .*(sees no cuda device here|this machine has \d+ cuda devices?)\. Leave out device= to use what there is\."


def named(device: Any) -> dict[str, tuple[Any, Any]]:
    """Each kind of model on a device, and the plan that asks it."""
    rows = dr.frame({"text": ["tea"]}).prompt(dr.testing.Echo(), "{text}", into="said")  # which would be paid for first
    llm, embedder = dr.Transformers(str(micro_causal()), device=device), dr.SentenceTransformer(str(micro_encoder()), device=device)
    classifier = dr.HFClassifier(str(micro_classifier()), device=device)
    return {
        "Transformers": (llm, rows.prompt(llm, "{said}")),
        "SentenceTransformer": (embedder, rows.embed(embedder, "said")),
        "HFClassifier": (classifier, rows.classify(classifier, None, "said")),
    }


@pytest.mark.parametrize("kind", ["Transformers", "SentenceTransformer", "HFClassifier"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_asked(kind: str) -> None:
    model, plan = named("cuda:63")[kind]
    with dr.Session(None) as session:
        with pytest.raises(SettingError, match=f"^{kind}: {SAID}"):
            plan.collect()
        assert session.usage()["calls"] == 0
    with pytest.raises(SettingError, match=f"^{kind}: {SAID}"):
        model.open()


def test_so_is_a_training(tmp_path: Path) -> None:
    rows = dr.frame({"prompt": ["tea"]}).prompt(dr.testing.Echo(), "{prompt}", into="completion")
    with dr.Session(tmp_path) as session:
        with pytest.raises(SettingError, match=r"^SFT: device='cuda:63', but .*\. Leave out device= to train on what there is\."):
            rows.train(dr.SFT(str(micro_causal()), device="cuda:63", steps=1)).fit()
        assert session.usage()["calls"] == 0


def test_layers_on_a_gpu_that_is_not_there_are_refused() -> None:
    xllamacpp = pytest.importorskip("xllamacpp")
    if any("GPU" in str(device["type"]) for device in xllamacpp.get_device_info()):
        pytest.skip("there is one here")
    for model in (dr.LlamaCpp("any.gguf", gpu_layers=4), dr.LlamaCppEmbedder("any.gguf", gpu_layers=4)):
        with pytest.raises(SettingError, match=f"^{type(model).__name__}: gpu_layers=4, but llama.cpp sees no GPU here"):
            model.open()
    assert dr.LlamaCpp("any.gguf", gpu_layers=0).no_device() is None


def test_devices_that_need_not_be_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for device in (None, "cpu", "auto", ("cpu", "cpu")):
        assert no_device(device, who="X") is None
    several = no_device(["cuda:62", "cuda:63"], who="X")
    assert several is not None
    assert "device=['cuda:62', 'cuda:63']" in str(several)
    monkeypatch.setenv("DREAMFRAME_WORKER", "1")  # a process that was started for its device sees that one alone
    said = no_device(["cuda:62", "cuda:63"], who="X")
    assert said is None or "sees no cuda device" in str(said) or "has 1 cuda device" in str(said)
