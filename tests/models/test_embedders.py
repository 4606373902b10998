"""Embedders in this process: the vectors are sentence-transformers' own, whatever the batch; what is too long is said; and what they find."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import dreamframe as dr
from tests.asking import requests
from tests.micro import micro_encoder, micro_tokenizer
from tests.models.sentences import OTHERS, PAIRS, distractors

pytestmark = pytest.mark.models
TEXTS = ["the kettle boils in two minutes", "tea", "the lamp is warm", "answer yes or no. " * 6, "tell me about coffee and bread"]


def vectors_of(embedder: dr.SentenceTransformer, texts: list[str]) -> list[np.ndarray | BaseException]:
    """The vectors (or errors) of texts that are asked for together."""

    async def ask() -> list[Any]:
        client = embedder.open()
        try:
            return await asyncio.gather(*(client.complete(r) for r in requests(embedder.question(), texts)), return_exceptions=True)
        finally:
            await client.close()

    return [a if isinstance(a, BaseException) else np.frombuffer(a.data, dtype="<f4") for a in asyncio.run(ask())]


@pytest.fixture(scope="module")
def theirs() -> object:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(micro_encoder()), device="cpu")


@pytest.mark.parametrize("batch_tokens", [1, 40, 10_000])
def test_vectors_are_those_of_the_library_in_any_batch(batch_tokens: int, theirs: object):
    embedder = dr.SentenceTransformer(micro_encoder(), device="cpu", batch_tokens=batch_tokens)
    want = theirs.encode(TEXTS, normalize_embeddings=True)  # type: ignore[attr-defined]
    assert np.allclose(np.stack(vectors_of(embedder, TEXTS)), want, atol=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize("prompt", [None, "query: "], ids=["bare", "prompt"])
def test_a_text_is_read_once_and_its_vector_is_the_librarys_to_the_last_bit(prompt: str | None):
    from dreamframe.models.embedders.sentence_engine import Encoder

    embedder = dr.SentenceTransformer(micro_encoder(), device="cpu", prompt=prompt, max_tokens=60, truncate=True)
    encoder = Encoder.of(embedder.to_load(), embedder.encoding)
    texts = [encoder.prepare(t) for t in TEXTS]
    assert [t.tokens is None for t in texts] == [len(t) > 100 for t in TEXTS], "the library cuts what is too long"
    whole = [t for t in texts if t.tokens is not None]
    once, twice = (encoder.answer(batch) for batch in (whole, [replace(t, tokens=None) for t in whole]))
    assert [a.data for a in once] == [a.data for a in twice]  # type: ignore[union-attr]
    mixed = [a for a, t in zip(encoder.answer(texts), texts, strict=True) if t.tokens is not None]  # one that is cut is among them
    assert np.allclose(*(np.stack([np.frombuffer(a.data, "<f4") for a in answers]) for answers in (once, mixed)), atol=1e-6)  # type: ignore


def test_what_the_library_reads_otherwise_is_left_to_it(theirs: Any):
    from dreamframe.models.embedders.sentence_engine import SHORT, more_features

    tokens = [list(theirs.tokenizer(t)["input_ids"]) for t in SHORT]
    assert more_features(theirs, "", tokens) is not None
    assert more_features(theirs, "query: ", tokens) is None
    try:
        theirs.tokenizer.padding_side = "left"
        assert more_features(theirs, "", tokens) is None
    finally:
        theirs.tokenizer.padding_side = "right"


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMFRAME_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("_own_cache")
def test_onnxruntime_gives_the_vectors_of_torch_and_writes_its_graph_once(tmp_path: Path):
    texts = [*TEXTS, *(f"{t} {t}" for t in TEXTS)]
    by_torch, by_onnx, by_default = (np.stack(vectors_of(dr.MiniLM(backend=b), texts)) for b in ("torch", "onnx", None))  # type: ignore[arg-type]
    assert np.abs(by_torch - by_onnx).max() < 1e-5
    assert np.array_equal(by_onnx, by_default), "it is used where it is installed"
    assert not np.array_equal(by_onnx, by_torch)
    assert len(list((tmp_path / "cache" / "onnx").iterdir())) == 1
    assert dr.MiniLM(backend="torch").identity_fields() == dr.MiniLM(backend="onnx").identity_fields()


@pytest.mark.usefixtures("_own_cache")
def test_a_graph_that_gives_other_vectors_is_not_used(monkeypatch: pytest.MonkeyPatch):
    from dreamframe.models.embedders import onnx

    monkeypatch.setattr(onnx, "CLOSE", -1.0)
    with pytest.warns(UserWarning, match="onnxruntime is not used: its vectors differ from torch's"):
        found = vectors_of(dr.MiniLM(), TEXTS)
    assert np.array_equal(np.stack(found), np.stack(vectors_of(dr.MiniLM(backend="torch"), TEXTS)))  # type: ignore[arg-type]
    with pytest.raises(dr.errors.SettingError, match="backend='onnx' is not possible"):
        raise vectors_of(dr.MiniLM(backend="onnx"), TEXTS)[0]  # type: ignore[misc]


def test_without_onnxruntime_the_error_gives_the_pip_line(monkeypatch: pytest.MonkeyPatch):
    from dreamframe.models.embedders import onnx

    monkeypatch.setattr(onnx, "is_installed", lambda: False)
    assert isinstance(vectors_of(dr.MiniLM(), TEXTS)[0], np.ndarray)
    with pytest.raises(dr.errors.SettingError, match="pip install onnxruntime onnx"):
        raise vectors_of(dr.MiniLM(backend="onnx"), TEXTS)[0]  # type: ignore[misc]
    with pytest.raises(dr.errors.SettingError, match="backend='tpu'"):
        dr.MiniLM(backend="tpu")


def test_a_prompt_is_put_before_each_text_once(theirs: object):
    embedder = dr.SentenceTransformer(micro_encoder(), device="cpu", prompt="query: ", normalize=False)
    want = theirs.encode([f"query: {t}" for t in TEXTS])  # type: ignore[attr-defined]
    assert np.allclose(np.stack(vectors_of(embedder, TEXTS)), want, atol=1e-5)  # type: ignore[arg-type]


def test_fewer_dimensions_are_the_first_ones_at_length_one(theirs: object):
    embedder = dr.SentenceTransformer(micro_encoder(), device="cpu", dimensions=8)
    want = theirs.encode(TEXTS, truncate_dim=8, normalize_embeddings=True)  # type: ignore[attr-defined]
    assert embedder.dim == 8
    assert np.allclose(np.stack(vectors_of(embedder, TEXTS)), want, atol=1e-5)  # type: ignore[arg-type]


def test_a_text_over_the_limit_fails_unless_it_may_be_cut_and_so_does_an_empty_one():
    long = "tea " * 300
    refused, fine = vectors_of(dr.SentenceTransformer(micro_encoder(), device="cpu"), [long, "tea"])
    assert isinstance(refused, dr.errors.ContextLengthError)
    assert "the model reads 256; truncate=True" in str(refused)
    assert isinstance(fine, np.ndarray)
    (nothing,) = vectors_of(dr.SentenceTransformer(micro_encoder(), device="cpu"), [""])
    assert isinstance(nothing, dr.errors.BadRequestError)
    (cut,) = vectors_of(dr.SentenceTransformer(micro_encoder(), device="cpu", truncate=True), [long])
    (same,) = vectors_of(dr.SentenceTransformer(micro_encoder(), device="cpu", truncate=True), [long + "coffee"])
    (shorter,) = vectors_of(dr.SentenceTransformer(micro_encoder(), device="cpu", truncate=True, max_tokens=9), [long])
    assert np.allclose(cut, same, atol=1e-6)  # type: ignore[arg-type]
    assert not np.allclose(cut, shorter, atol=1e-3)  # type: ignore[arg-type]
    assert len(micro_tokenizer()(long)["input_ids"]) > 256


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"prompt_name": "passage"}, "prompt_name: no setting 'passage'"), ({"dimensions": 999}, "dimensions=999, but its vectors have 32")],
    ids=["prompt_name", "dimensions"],
)
def test_what_the_model_does_not_have_stops_the_run(settings: dict[str, object], says: str, session: dr.Session):
    embedder = dr.SentenceTransformer(micro_encoder(), device="cpu", **settings)
    with pytest.raises(dr.errors.SettingError, match=says):
        dr.frame({"t": ["tea"]}).embed(embedder, "t").collect()


def test_an_embedder_that_the_plan_trains_is_an_edge(tmp_path: Path):
    rows = dr.frame({"anchor": ["tea", "lamp"] * 4, "positive": ["hot tea", "warm lamp"] * 4})
    base = dr.SentenceTransformer(micro_encoder(), device="cpu")
    trained = rows.train(dr.SentenceTransformerTrainer(base, steps=2, batch_size=4, learning_rate=1e-2, device="cpu"))
    tuned = trained.embedder(device="cpu")
    df = dr.frame({"t": ["the lamp is warm"]}).embed(base, "t", into="before").embed(tuned, "t", into="after")
    assert df.schema["after"] == pl.Array(pl.Float32, 32)
    with dr.Session(tmp_path) as session:
        before, after = df.collect().select("before", "after").row(0)
        assert max(abs(a - b) for a, b in zip(before, after, strict=True)) > 1e-3
        assert session.usage()["trained"] == 1
    with dr.Session(tmp_path) as session:
        df.collect()
        assert (session.usage()["trained"], session.usage()["calls"]) == (0, 0)


def test_its_length_is_known_and_its_plan_made_without_torch():
    code = (
        "import dreamframe as dr, sys; df = dr.frame({'t': ['a']}); df.retrieve(df, query='t', text='t', by=dr.MiniLM()); "
        "print(dr.MiniLM().dim, df.embed(dr.MiniLM(), 't').schema['embedding'], 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "384 Array(Float32, shape=(384,)) False False"


# What they find


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("answers")


def test_retrieval_over_500_sentences_finds_the_paraphrase_of_45_of_50(kept: Path):
    docs = [b for _, b in PAIRS] + distractors(450)
    random.Random(0).shuffle(docs)
    asked = dr.frame({"q": [a for a, _ in PAIRS], "wanted": [b for _, b in PAIRS]})
    with dr.Session(kept):
        found = asked.retrieve(dr.frame({"t": docs}), query="q", text="t", by=dr.MiniLM(), k=5).to_dicts()
    assert len(set(docs)) == 500
    assert sum(row["wanted"] in [hit["text"] for hit in row["hits"]] for row in found) >= 45
    assert all(docs[hit["index"]] == hit["text"] for row in found for hit in row["hits"])
    assert all(row["hits"] == sorted(row["hits"], key=lambda h: -h["score"]) for row in found)


def test_embedding_dedup_finds_95_percent_of_planted_paraphrases_and_at_most_1_percent_false_ones(kept: Path):
    own = [a for a, _ in PAIRS] + list(OTHERS)
    rows = dr.frame({"t": own + [b for _, b in PAIRS]}).with_row_index("i")
    with dr.Session(kept):
        left = rows.dedup("t", method="embedding", by=dr.MiniLM(), threshold=0.7).collect()["i"]
    assert len(PAIRS) - (left >= len(own)).sum() >= 0.95 * len(PAIRS)
    assert len(own) - (left < len(own)).sum() <= 0.01 * len(own)


def test_clusters_are_topics(kept: Path):
    topics = {
        "weather": ["It rains.", "Snow is falling.", "The wind blows hard.", "A storm is coming."],
        "food": ["Bread with butter.", "The soup is hot.", "Cheese and olives.", "She bakes a cake."],
        "music": ["He plays the piano.", "A song in a minor key.", "The choir sings.", "Drums and guitars."],
    }
    rows = [{"topic": topic, "t": text} for i in range(4) for topic, texts in topics.items() for text in texts[i : i + 1]]
    with dr.Session(kept):
        found = dr.frame(rows).cluster("t", k=3, by=dr.MiniLM()).collect()
    assert found["cluster"].to_list() == [0, 1, 2] * 4
