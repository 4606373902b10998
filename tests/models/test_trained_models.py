"""What can be done with a trained model: ask it, look at its log, take it out of the session, train on from it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from tests.micro import micro_causal, micro_encoder

pytestmark = pytest.mark.models

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROWS = {"prompt": [f"q{i}" for i in range(8)], "completion": [f"tea {i}" for i in range(8)]}
LORA = {"r": 2, "target_modules": ["q_proj", "v_proj"]}
FEW = {"steps": 4, "batch_size": 4, "learning_rate": 1e-2, "device": "cpu"}


def tuned(**settings: object) -> dr.Model:
    rows = dr.frame(ROWS)
    return rows.train(dr.SFT(str(micro_causal()), **{**FEW, **settings}), validation=rows.head(2))


def test_the_log_is_a_frame_and_a_picture(tmp_path: Path) -> None:
    with dr.Session(tmp_path / "s"):
        model = tuned(eval_every=2)
        log = model.metrics()
        assert log["step"].to_list() == sorted(log["step"].to_list())
        assert log["loss"].drop_nulls().len() == 4
        assert log.filter(log["eval_loss"].is_not_null())["step"].to_list() == [2, 4]
        figure = model.plot()
    assert [line.get_label() for line in figure.axes[0].get_lines()] == ["training loss", "validation loss"]
    assert figure.axes[0].get_lines()[0].get_xdata().tolist() == [1, 2, 3, 4]


def test_an_adapter_is_exported_as_it_is_or_in_its_weights(tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with dr.Session(tmp_path / "s"):
        model = tuned(peft=LORA)
        alone, whole = model.export(tmp_path / "alone", merge=False), model.export(tmp_path / "whole")
        with pytest.raises(SettingError, match="exists and is not an empty folder"):
            model.export(tmp_path / "whole")
    assert (alone / "adapter_config.json").exists()
    assert not (alone / "training.json").exists()
    ids = torch.arange(10).reshape(1, -1)
    merged = AutoModelForCausalLM.from_pretrained(whole)(ids).logits
    laid = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(micro_causal()), alone)(ids).logits
    assert torch.allclose(merged, laid, atol=1e-5)
    assert not torch.allclose(merged, AutoModelForCausalLM.from_pretrained(micro_causal())(ids).logits, atol=1e-3)


def test_a_whole_model_is_exported_without_what_the_session_keeps(tmp_path: Path) -> None:
    with dr.Session(tmp_path / "s"):
        out = tuned().export(tmp_path / "out")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {p.name for p in out.iterdir()}
    assert not (out / "metrics.arrow").exists()


def test_a_chain_of_trainings_is_one_plan(tmp_path: Path) -> None:
    """SFT → Reward → GRPO: each an edge of the next, trained once and in order."""
    pairs = {"prompt": ROWS["prompt"], "chosen": ROWS["completion"], "rejected": ["no"] * 8}
    rl = {**FEW, "generations": 4, "max_new_tokens": 6}
    with dr.Session(tmp_path / "s") as session:
        start = tuned(peft=LORA)
        judge = dr.frame(pairs).train(dr.Reward(start, **FEW))
        final = dr.frame(ROWS).select("prompt").train(dr.GRPO(start, rewards=judge, **rl))
        assert session.usage()["trained"] == 0
        assert final.summary()["base"] is None
        assert session.usage()["trained"] == 3
        assert (final.path / "adapter_config.json").exists()  # GRPO went on with the adapter of SFT
        assert dr.frame(ROWS).select("prompt").train(dr.GRPO(start, rewards=judge, **rl)).path == final.path
        assert session.usage()["trained"] == 3
        answers = dr.frame({"q": ["tea?"]}).prompt(final.llm(max_tokens=4, temperature=0), "{q}", into="a").collect()
    assert answers["a"].len() == 1


def test_an_adapter_trained_over_an_adapter_is_a_whole_model(tmp_path: Path) -> None:
    pairs = {"prompt": ROWS["prompt"], "chosen": ROWS["completion"], "rejected": ["no"] * 8}
    with dr.Session(tmp_path / "s"):
        final = dr.frame(pairs).train(dr.DPO(tuned(peft=LORA), peft=LORA, **FEW))
        assert not (final.path / "adapter_config.json").exists()
        assert (final.path / "model.safetensors").exists()
        llm = final.llm()
    assert llm.model.step is final.step


def test_a_trained_embedder_embeds(tmp_path: Path) -> None:
    rows = dr.frame({"anchor": ["tea", "bread", "lamp", "line"], "positive": ["kettle", "flour", "light", "text"]})
    with dr.Session(tmp_path / "s"):
        model = rows.train(dr.SentenceTransformerTrainer(str(micro_encoder()), **FEW))
        seen = rows.embed(model.embedder(), "anchor", into="vector").collect()
    assert seen.schema["vector"].shape == (32,)


TELL = {"text": ["great tea", "great bread", "awful tea", "awful bread"] * 4, "label": ["good", "good", "bad", "bad"] * 4}


@pytest.mark.parametrize("adapter", [None, {"r": 2, "target_modules": ["query", "value"]}], ids=["whole", "adapter"])
def test_a_trained_classifier_tells_labels(adapter: object, tmp_path: Path) -> None:
    rows = dr.frame(TELL)
    with dr.Session(tmp_path / "s"):
        model = rows.train(dr.Classifier(str(micro_encoder()), peft=adapter, steps=40, batch_size=8, learning_rate=1e-2, device="cpu"))
        told = rows.classify(model.classifier(), None, "text", into="seen").collect()
    assert (told["seen"] == told["label"]).mean() == 1.0
    assert told["seen_score"].is_between(0.5, 1.0).all()


def test_a_classifier_of_sets_tells_any_number_of_labels(tmp_path: Path) -> None:
    rows = dr.frame({"text": TELL["text"], "label": [["good", "any"], ["good", "any"], ["any"], ["any"]] * 4})
    with dr.Session(tmp_path / "s"):
        model = rows.train(dr.Classifier(str(micro_encoder()), steps=60, batch_size=8, learning_rate=1e-2, device="cpu"))
        told = rows.classify(model.classifier(), None, "text", into="seen").collect()
    assert [sorted(s) for s in told["seen"].to_list()] == [sorted(s) for s in told["label"].to_list()]


def test_a_few_shot_classifier_tells_labels(tmp_path: Path) -> None:
    rows = dr.frame(TELL)
    with dr.Session(tmp_path / "s"):
        model = rows.train(dr.SetFit(str(micro_encoder()), steps=30, batch_size=8, learning_rate=5e-3, device="cpu"))
        told = rows.classify(model.classifier(), ["good", "bad"], "text", into="seen").collect()
    assert (told["seen"].cast(pl.String) == told["label"]).mean() == 1.0


def test_a_reward_model_scores_chats_as_the_training_does(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    chat = [{"role": "user", "content": "q1"}, {"role": "assistant", "content": "tea 1"}]
    pairs = {"prompt": ROWS["prompt"], "chosen": ROWS["completion"], "rejected": ["no"] * 8}
    with dr.Session(tmp_path / "s"):
        model = dr.frame(pairs).train(dr.Reward(str(micro_causal()), **FEW))
        told = dr.frame({"text": [json.dumps(chat), "plain text"]}).classify(model.reward(), None, "text", into="r").collect()
        net, tokenizer = AutoModelForSequenceClassification.from_pretrained(model.path), AutoTokenizer.from_pretrained(model.path)
    ids = torch.tensor([tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False)])
    assert told["r_score"][0] == pytest.approx(float(net(ids).logits[0, 0]), abs=1e-5)
    assert told["r"].to_list() == ["reward", "reward"]


def test_what_a_model_is_not_is_said() -> None:
    model = dr.frame({"text": ["a", "b"], "label": ["x", "y"]}).train(dr.Classifier("base"))
    with pytest.raises(SettingError, match="Classifier does not make a language model"):
        model.llm()
    with pytest.raises(SettingError, match="SentenceTransformerTrainer does"):
        model.embedder()
    with pytest.raises(SettingError, match=r"dr\.Reward does"):
        model.reward()
    words = dr.frame({"tokens": [["a"]], "tags": [["x"]]}).train(dr.Classifier("base"))
    with pytest.raises(SettingError, match="labels the words of a text"):
        words.classifier()
