"""dr.LlamaCppEmbedder on a GGUF file that this test session writes: its vectors are those of the same weights in transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import RowsFailedError, SettingError
from tests.micro import micro_causal
from tests.micro_gguf import micro_gguf

pytestmark = pytest.mark.slow  # torch and transformers are loaded

TEXTS = ["tea", "a", "tell me about the kettle and the lamp", "coffee or tea, yes or no", "bread"]


def embedder(**settings: Any) -> dr.LlamaCppEmbedder:
    return dr.LlamaCppEmbedder(str(micro_gguf()), **{"pooling": "mean", "threads": 1, **settings})


def vectors(by: dr.LlamaCppEmbedder, texts: list[str], **more: Any) -> pl.Series:
    with dr.Session(None, progress=False):
        return dr.frame({"text": texts}).embed(by, "text", **more).collect().get_column("embedding")


def by_hand(texts: list[str], pooling: str, *, normalize: bool) -> list[list[float]]:
    """The last hidden states through transformers, one text at a time."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = micro_causal()
    model, tokenizer = AutoModel.from_pretrained(folder, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(folder)
    out = []
    for text in texts:
        with torch.inference_mode():
            states = model(**tokenizer(text, return_tensors="pt", add_special_tokens=False)).last_hidden_state[0]
        vector = {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pooling]
        out.append((vector / vector.norm() if normalize else vector).tolist())
    return out


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_vectors_are_those_of_the_same_weights_in_transformers(pooling: str, normalize: bool) -> None:
    found = vectors(embedder(pooling=pooling, normalize=normalize), TEXTS)
    assert found.dtype == pl.Array(pl.Float32, 32)
    for got, wanted in zip(found.to_list(), by_hand(TEXTS, pooling, normalize=normalize), strict=True):
        assert got == pytest.approx(wanted, abs=5e-3)  # llama.cpp keeps keys and values in half precision


def test_a_vector_does_not_depend_on_the_texts_beside_it() -> None:
    together = vectors(embedder(), TEXTS * 6).to_list()
    alone = [vectors(embedder(), [t])[0].to_list() for t in TEXTS]
    assert together == alone * 6
    assert vectors(embedder(), TEXTS[::-1]).to_list() == alone[::-1]


def test_a_prompt_stands_before_each_text_once() -> None:
    assert vectors(embedder(prompt="tell me about "), ["tea"]).to_list() == vectors(embedder(), ["tell me about tea"]).to_list()


def test_a_text_that_is_too_long_fails_alone() -> None:
    with pytest.raises(RowsFailedError) as caught:
        vectors(embedder(n_ctx=256), ["tea", "word " * 600, "bread"])
    assert [(f["row"], f["error"]) for f in caught.value.failures] == [(1, "ContextLengthError")]


def test_what_was_embedded_loads_no_model_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import xllamacpp

    by = embedder()
    df = dr.frame({"text": TEXTS}).embed(by, "text")
    with dr.Session(tmp_path, progress=False):
        first = df.collect()
    by.unload()
    monkeypatch.setattr(xllamacpp, "Server", None)
    with dr.Session(tmp_path, progress=False) as session:
        assert df.with_columns(n=1).collect().drop("n").equals(first)
    assert session.usage()["calls"] == 0


def test_the_identity_is_what_decides_the_vectors() -> None:
    assert embedder(threads=2, gpu_layers=0).identity_fields() == embedder().identity_fields()
    for change in ({"pooling": "cls"}, {"prompt": "x "}, {"normalize": False}, {"n_ctx": 64}):
        assert embedder(**change).identity_fields() != embedder().identity_fields()
    assert embedder().dim == 32


@pytest.mark.parametrize(("settings", "says"), [({"pooling": "max"}, "pooling='max'"), ({"n_ctx": 0}, "n_ctx=0"), ({"threads": 1.5}, "threads=1.5")], ids=str)
def test_impossible_settings_are_refused_where_they_are_written(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        embedder(**settings)


def test_a_file_that_says_nothing_of_pooling_asks_for_it() -> None:
    with pytest.raises(SettingError, match="give pooling="):
        dr.frame({"text": ["a"]}).embed(embedder(pooling=None), "text").collect()
