"""df.embed, df.similarity and df.retrieve: types, nulls, failures, what is asked and what is not."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.models.request import Completion, Request
from dreamframe.testing import WordEmbedder

DOCS = {"d": ["tea is hot", None, "rain is wet", "tea or rain", "tea is hot"]}


@dataclass(frozen=True)
class Picky(WordEmbedder):
    """Refuses texts that hold "bad", and gives a vector too short for those that hold "short"."""

    provider: ClassVar[str] = "picky"

    def reply(self, request: Request) -> Completion:
        if "bad" in request.prompt:
            raise dr.errors.BadRequestError("refused", status=400)
        return Completion(None, data=struct.pack("<f", 1.0)) if "short" in request.prompt else super().reply(request)


def test_a_column_of_vectors_has_its_type_in_the_plan_and_in_the_rows(session: dr.Session):
    df = dr.frame({"t": ["a b", None]}).embed(WordEmbedder(size=8), "t", into="v")
    assert df.schema["v"] == pl.Array(pl.Float32, 8)
    rows = df.collect()
    assert rows.schema == df.schema
    assert rows["v"].is_null().to_list() == [False, True]
    assert rows["v"][0].sum() == 2.0


def test_equal_texts_are_embedded_once_and_nulls_never(tmp_path: Path):
    words = WordEmbedder()
    with dr.Session(tmp_path):
        df = dr.frame({"a": ["x", "x", None], "b": ["x", "y", "z"]})
        df.embed(words, "a", into="v").embed(words, "b", into="w").similarity("a", "b", by=words).collect()
    assert sorted(r.prompt for r in words.log.requests) == ["x", "y", "z"]
    with dr.Session(tmp_path):
        df.similarity("b", "a", by=words).collect()
    assert words.calls == 3


def test_a_row_with_one_text_has_no_similarity_and_asks_nothing(session: dr.Session):
    words = WordEmbedder()
    df = dr.frame({"a": ["tea", None, "tea"], "b": ["tea", "rain", None]}).similarity("a", "b", by=words)
    assert df.collect()["similarity"].to_list() == [1.0, None, None]
    assert [r.prompt for r in words.log.requests] == ["tea"]


@pytest.mark.parametrize(("text", "says"), [("bad", "refused"), ("short", "the vector has 1 numbers, not the 64 that words promised")], ids=str)
def test_a_text_that_cannot_be_embedded_is_a_failed_row(text: str, says: str, session: dr.Session):
    rows = dr.frame({"t": ["tea", text, "rain"]})
    kept = rows.embed(Picky(), "t", on_error="null")
    assert kept.collect()["embedding"].is_null().to_list() == [False, True, False]
    assert kept.failures().select("row", "message").rows() == [(1, says)]
    assert rows.similarity("t", "t", by=Picky(), on_error="drop").collect()["t"].to_list() == ["tea", "rain"]
    with pytest.raises(dr.errors.RowsFailedError, match=f"row 1 of embedding.*{says}"):
        rows.embed(Picky(), "t").collect()


def test_vectors_are_compared_as_their_texts_are(session: dr.Session):
    words = WordEmbedder()
    df = dr.frame({"a": ["hot tea", None, "x"], "b": ["cold tea", "tea", "x"]})
    by_texts = df.similarity("a", "b", by=words).collect()["similarity"]
    asked = words.calls
    by_vectors = df.embed(words, "a", into="va").embed(words, "b", into="vb").similarity("va", "vb").collect()
    assert by_vectors["similarity"].equals(by_texts)
    assert words.calls - asked == 1  # "tea", which stood beside a null


def test_expressions_are_the_verbs(session: dr.Session):
    words, df = WordEmbedder(), dr.frame({"a": ["hot tea", None, "Rain"], "b": ["cold tea", "tea", "rain"]})
    assert df.with_columns(dr.embed(words, "a", into="v")).step.key({}) == df.embed(words, "a", into="v").step.key({})
    near = df.with_columns(dr.similarity("a", "b", by=words, into="s"))
    assert near.step.key({}) == df.similarity("a", "b", by=words, into="s").step.key({})
    assert near.collect()["s"].round(2).to_list() == [0.5, None, 1.0]


def test_expressions_stand_inside_others_and_leave_no_column_behind(session: dr.Session):
    words, df = WordEmbedder(), dr.frame({"a": ["hot tea", "rain", "tea"], "q": ["tea", "tea", "rain"]})
    kept = df.filter(dr.similarity("a", pl.col("q").str.to_uppercase(), by=words) > 0.5)
    assert kept.to_dicts() == [{"a": "hot tea", "q": "tea"}]
    other = WordEmbedder(model="other")
    both = df.select(same=dr.embed(words, "a") == dr.embed(words, "a"), apart=dr.embed(words, "a").arr.sum() + dr.embed(other, "a").arr.sum())
    assert both.collect()["apart"].to_list() == [4.0, 2.0, 2.0]
    assert both.collect()["same"].all()
    assert (words.calls, other.calls) == (5, 3)  # three texts, two of them in capitals as well


def test_an_expression_outside_a_dreamframe_says_what_it_is():
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match=r"similarity\(words, 'a', 'b'\).*use the expression in a dreamframe verb"):
        pl.DataFrame({"a": ["x"], "b": ["y"]}).select(dr.similarity("a", "b", by=WordEmbedder()))
    with pytest.raises(dr.errors.ColumnNotFoundError, match="embed: no column 'text'"):
        dr.frame({"t": ["x"]}).filter(dr.embed(WordEmbedder(), "text").arr.sum() > 0)


def hits(df: dr.Frame) -> list[list[tuple[str, int]] | None]:
    return [None if found is None else [(h["text"], h["index"]) for h in found] for found in df.collect()["hits"].to_list()]


@pytest.mark.parametrize("index", ["exact", "usearch"])
def test_the_nearest_documents_come_first_with_their_rows(index: str, session: dr.Session):
    df = dr.frame({"q": ["hot tea", None, "rain"]}).retrieve(dr.frame(DOCS), query="q", text="d", by=WordEmbedder(), k=2, index=index)
    assert hits(df) == [[("tea is hot", 0), ("tea is hot", 4)], None, [("rain is wet", 2), ("tea or rain", 3)]]
    assert df.collect().schema == df.schema


def test_a_graph_finds_almost_all_of_the_nearest(session: dr.Session):
    pytest.importorskip("usearch")
    words = WordEmbedder(size=32)
    docs = dr.frame({"d": [f"{i % 7} {i % 11} {i % 13} {i}" for i in range(1200)]})
    asked = dr.frame({"q": [f"{i % 7} {i % 13} what {i}" for i in range(60)]})
    exact, graph = (asked.retrieve(docs, query="q", text="d", by=words, k=5, index=index).collect()["hits"].to_list() for index in ("exact", "usearch"))
    scores = [sum(a["score"] == b["score"] for a, b in zip(x, y, strict=True)) for x, y in zip(exact, graph, strict=True)]
    assert sum(scores) >= 0.95 * 5 * 60


def test_fewer_documents_than_k_are_all_found_and_none_gives_an_empty_list(session: dr.Session):
    asked = dr.frame({"q": ["tea"]})
    assert hits(asked.retrieve(dr.frame({"d": ["rain", "tea"]}), query="q", text="d", by=WordEmbedder())) == [[("tea", 1), ("rain", 0)]]
    empty = dr.frame({"d": []}, schema={"d": pl.String})
    assert hits(asked.retrieve(empty, query="q", text="d", by=WordEmbedder())) == [[]]


def test_documents_are_an_edge_of_the_plan_and_embedded_once(tmp_path: Path):
    """The system that this one replaces answered from corpus A after the corpus was changed to B."""
    words, asked = WordEmbedder(), dr.frame({"q": ["hot tea"]})
    for texts, first in ((["tea", "sun"], "tea"), (["hot sun", "sun"], "hot sun"), (["tea", "sun"], "tea")):
        with dr.Session(tmp_path):
            assert hits(asked.retrieve(dr.frame({"d": texts}), query="q", text="d", by=words, k=1))[0] == [(first, 0)]
    assert sorted(r.prompt for r in words.log.requests) == ["hot sun", "hot tea", "sun", "tea"]


def test_new_queries_over_known_documents_ask_for_the_queries_alone(tmp_path: Path):
    words, docs = WordEmbedder(), dr.frame(DOCS)
    for q in ("tea?", "rain?"):
        with dr.Session(tmp_path) as session:
            dr.frame({"q": [q]}).retrieve(docs, query="q", text="d", by=words, index="usearch").collect()
    assert [r.prompt for r in words.log.requests][-1] == "rain?"
    assert session.usage()["calls"] == 1
    assert session.usage()["reused"] == 1  # the graph, with the vectors


def test_documents_may_have_an_embedder_of_their_own(session: dr.Session):
    queries, docs = WordEmbedder(model="for queries"), WordEmbedder(model="for documents")
    dr.frame({"q": ["tea"]}).retrieve(dr.frame(DOCS), query="q", text="d", by=queries, docs_by=docs).collect()
    assert (queries.calls, docs.calls) == (1, 3)


def test_a_failed_document_fails_the_run_by_name(session: dr.Session):
    with pytest.raises(dr.errors.RowsFailedError, match=r"^retrieve \(documents\): 1 of 2 rows failed .*\n  row 1 of retrieve \(documents\)"):
        dr.frame({"q": ["tea"]}).retrieve(dr.frame({"d": ["tea", "bad"]}), query="q", text="d", by=Picky()).collect()


def test_wrong_plans_fail_where_they_are_written():
    df, words = dr.frame({"text": ["a"], "n": [1]}), WordEmbedder()
    docs = dr.frame({"body": ["a"]})
    for wrong, kind, says in (
        (lambda: df.embed(words, "txt"), dr.errors.ColumnNotFoundError, "embed: no column 'txt'.*Did you mean 'text'"),
        (lambda: df.embed(words, "n"), dr.errors.SchemaError, "embed: column 'n' has type Int64, and text is needed"),
        (lambda: df.embed(words, "text", into="n"), dr.errors.DuplicateColumnError, "embed: column 'n' exists already"),
        (lambda: df.embed("words", "text"), dr.errors.SettingError, "embed: 'words' names no embedder"),
        (lambda: df.embed(7, "text"), dr.errors.SettingError, "7 is not an embedder; give one such as dr.MiniLM"),  # type: ignore[arg-type]
        (lambda: df.embed(words, "text", on_error="skip"), dr.errors.SettingError, "on_error='skip'"),
        (lambda: df.similarity("text", "n", by=words), dr.errors.SchemaError, "similarity: column 'n'"),
        (lambda: df.similarity("text", "n"), dr.errors.SchemaError, "column 'text' has type String, not vectors.*Give by="),
        (
            lambda: df.embed(words, "text", into="v").embed(WordEmbedder(size=8), "text", into="w").similarity("v", "w"),
            dr.errors.SchemaError, "vectors of 64 and of 8 numbers",
        ),
        (lambda: df.retrieve(docs, query="text", text="boddy", by=words), dr.errors.ColumnNotFoundError, r"retrieve \(documents\): no column 'boddy'"),
        (lambda: df.retrieve(docs, query="q", text="body", by=words), dr.errors.ColumnNotFoundError, "retrieve: no column 'q'"),
        (lambda: df.retrieve(docs, query="text", text="body", by=words, k=0), dr.errors.SettingError, "k=0"),
        (lambda: df.retrieve(docs, query="text", text="body", by=words, index="faiss"), dr.errors.SettingError, "index='faiss' is not one of"),
        (lambda: df.retrieve({"body": ["a"]}, query="text", text="body", by=words), dr.errors.SettingError, "docs is a frame, not the dict"),  # type: ignore[arg-type]
        (lambda: df.retrieve(docs, query="text", text="body", by=words, docs_by=WordEmbedder(size=8)), dr.errors.SettingError, "of 64 numbers"),
    ):
        with pytest.raises(kind, match=says):
            wrong()
