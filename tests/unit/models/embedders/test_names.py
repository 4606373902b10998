"""Embedders by name."""

from __future__ import annotations

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.models.embedders.names import embedder


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("openai/text-embedding-3-small", dr.OpenAIEmbedder("text-embedding-3-small")),
        ("sentence-transformers/all-MiniLM-L6-v2", dr.SentenceTransformer("sentence-transformers/all-MiniLM-L6-v2")),
        ("sentence-transformers/BAAI/bge-small-en-v1.5", dr.SentenceTransformer("BAAI/bge-small-en-v1.5")),
        ("llamacpp/nomic.gguf", dr.LlamaCppEmbedder("nomic.gguf")),
        ("minilm", dr.MiniLM()),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_name_is_the_settings_that_it_names(name: str, made: object) -> None:
    assert embedder(name, where="embed") == made


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("BAAI/bge-small", "'sentence-transformers/BAAI/bge-small'"),
        ("minlm", "Did you mean 'minilm'"),
        ("openai/", "no model is named"),
        ("minilm/x", "one model"),
    ],
)
def test_another_name_is_refused_by_the_step(name: str, says: str) -> None:
    with pytest.raises(SettingError, match=says) as caught:
        dr.frame({"t": ["a"]}).embed(name, "t")
    assert str(caught.value).startswith("embed: ")


def test_every_verb_that_wants_an_embedder_takes_a_name() -> None:
    df = dr.frame({"t": ["a"], "u": ["b"]})
    given = dr.MiniLM()
    plans = [
        (df.embed(by, "t"), df.similarity("t", "u", by=by), df.select(dr.embed(by, "t")), df.select(dr.similarity("t", "u", by=by)),
         df.retrieve(df, query="t", text="u", by=by), df.dedup("t", method="embedding", by=by), df.cluster("t", k=1, by=by))
        for by in ("minilm", given)
    ]  # fmt: skip
    assert [p.step.key({}) for p in plans[0]] == [p.step.key({}) for p in plans[1]]
