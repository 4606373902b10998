"""Questions with the documents nearest to them."""

from __future__ import annotations

from typing import Any

import pytest

import dreamframe as dr
from tests.unit.prompts.asked import asked, failed

DOCS = {"text": ["Tea is a drink.", "Bern is a town.", None, "Rain is water.", "Green tea is a drink too."]}


def rag(**settings: Any) -> dr.Rag:
    return dr.Rag(**{"question": "q", "docs": dr.frame(DOCS), "text": "text", "by": dr.testing.WordEmbedder(), "k": 2, **settings})


def test_the_string_is_the_published_one_nearest_document_first():
    assert asked({"q": ["tea drink is a"]}, rag()) == ["Document: Tea is a drink.\nDocument: Green tea is a drink too.\n\nQuestion: tea drink is a"]


def test_labels_are_settings():
    assert asked({"q": ["rain water"]}, rag(k=1, document_label="D:", question_label="Q:")) == ["D: Rain is water.\n\nQ: rain water"]


def test_each_row_is_shown_its_own_documents():
    shown = [p.splitlines()[0] for p in asked({"q": ["rain water", None, "town of Bern"]}, rag(k=1))]
    assert shown == ["Document: Rain is water.", "Document: Bern is a town."]


def test_fewer_documents_than_k_are_all_shown():
    assert asked({"q": ["tea"]}, rag(docs=dr.frame({"text": ["Tea."]}), k=5)) == ["Document: Tea.\n\nQuestion: tea"]


def test_documents_may_be_written_by_a_model():
    docs = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "All about {t}", into="text")
    assert asked({"q": ["tea?"]}, rag(docs=docs)) == ["Document: All about tea\n\nQuestion: tea?"]


def test_without_any_document_a_question_is_a_failed_row():
    found = failed({"q": ["tea?", None]}, rag(docs=dr.frame(DOCS).head(0)))
    assert list(found) == [0]
    assert "no document" in found[0]


def test_a_second_run_asks_neither_the_model_nor_the_embedder(tmp_path):
    llm, by = dr.testing.Echo(), dr.testing.WordEmbedder()
    for _ in range(2):
        with dr.Session(tmp_path):
            dr.frame({"q": ["tea?"]}).prompt(llm, rag(by=by)).collect()
    assert (llm.calls, by.calls) == (1, 5)


WRONG = {
    "k": ({"k": 0}, dr.errors.SettingError, "one document or more"),
    "docs": ({"docs": ["Tea."]}, dr.errors.SettingError, "docs= is a frame, not a list"),
    "text": ({"text": "txt"}, dr.errors.ColumnNotFoundError, r"prompt \(documents\): no column 'txt'"),
    "question": ({"question": "qq"}, dr.errors.ColumnNotFoundError, "prompt: no column 'qq'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_plan_is_checked_on_its_line(case: str):
    settings, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        dr.frame({"q": ["tea?"]}).prompt(dr.testing.Echo(), rag(**settings))
