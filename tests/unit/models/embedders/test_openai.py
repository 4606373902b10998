"""dr.OpenAIEmbedder: many texts a call, an answer a row, and what a server may do wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import AuthenticationError, BudgetExceededError, OfflineError, RowsFailedError, SettingError
from tests.loopback import Call, Loopback, replies
from tests.loopback.faults import status

TEXTS = ["one", "two words", "three words here", "", "ümlaut \U0001f600"]


def embedder(server: Loopback, **settings: Any) -> dr.OpenAIEmbedder:
    return dr.OpenAIEmbedder("m", base_url=server.url, **{"dimensions": 3, "attempts": 2, "backoff_s": 0.001, **settings})


def vectors(by: dr.OpenAIEmbedder, texts: list[str | None], **more: Any) -> list[Any]:
    return dr.frame({"text": texts}).embed(by, "text", **more).collect().get_column("embedding").to_list()


def wanted(texts: list[str]) -> list[list[float]]:
    made = replies.embeddings({"input": texts}, None)["data"]
    return [item["embedding"] for item in sorted(made, key=lambda item: item["index"])]


def inputs(server: Loopback) -> list[list[str]]:
    return [c.body["input"] for c in server.calls]


def test_the_texts_of_a_batch_travel_in_one_call_and_come_back_in_order() -> None:
    with Loopback() as server:
        out = dr.frame({"text": TEXTS}).embed(embedder(server, api_key="k"), "text").collect()
    assert out.schema["embedding"] == pl.Array(pl.Float32, 3)
    assert out.get_column("embedding").to_list() == wanted(TEXTS)
    assert [c.path for c in server.calls] == ["/v1/embeddings"]
    assert server.calls[0].body == {"model": "m", "encoding_format": "base64", "dimensions": 3, "input": TEXTS}
    assert server.calls[0].headers["authorization"] == "Bearer k"


def test_equal_texts_and_nulls_are_not_sent() -> None:
    with Loopback() as server:
        out = vectors(embedder(server), ["a", None, "a", "b"])
    assert inputs(server) == [["a", "b"]]
    assert out == [*wanted(["a"]), None, *wanted(["a", "b"])]


def test_batch_size_and_length_part_the_texts() -> None:
    with Loopback() as server:
        vectors(embedder(server, batch_size=2), ["a", "b", "c"])
        vectors(embedder(server), ["x" * 200_000, "y" * 200_000, "z"])
    assert sorted(map(len, inputs(server))) == [1, 1, 2, 2]


def test_a_text_that_was_embedded_is_never_sent_again_whatever_stands_beside_it(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(300)]
    with Loopback() as server:
        with dr.Session(tmp_path, progress=False):
            vectors(embedder(server), texts)
        before = server.n_calls
        for i in (3, 150, 299):
            texts[i] += " edited"
        with dr.Session(tmp_path, progress=False) as session:
            out = vectors(embedder(server, batch_size=7), texts)
    assert before == 3
    assert sorted(t for sent in inputs(server)[before:] for t in sent) == ["text 150 edited", "text 299 edited", "text 3 edited"]
    assert session.usage()["calls"] == 3
    assert out == wanted(texts)


def test_batches_in_flight_do_not_send_a_text_twice() -> None:
    texts = [f"text {i % 40}" for i in range(600)]
    with Loopback(latency_s=0.05) as server:
        out = vectors(embedder(server), texts)
    assert sorted(t for sent in inputs(server) for t in sent) == sorted({f"text {i}" for i in range(40)})
    assert out == wanted(texts)


def test_two_frames_at_once_each_keep_the_answer(tmp_path: Path) -> None:
    with Loopback(latency_s=0.1) as server, dr.Session(tmp_path, progress=False):
        a, b = (dr.frame({"text": ["a", "b", c]}).embed(embedder(server), "text") for c in "cd")
        one, two = dr.collect_all([a, b])
    assert one.get_column("embedding").to_list() == wanted(["a", "b", "c"])
    assert two.get_column("embedding").to_list() == wanted(["a", "b", "d"])
    assert sorted(t for sent in inputs(server) for t in sent) == ["a", "b", "c", "d"]


def refuse(bad: str, behaviour: Callable[[Call], None]) -> Callable[[Call], Callable[[Call], None] | None]:
    """The call goes wrong that holds the bad text."""
    return lambda call: behaviour if bad in call.body.get("input", []) else None


def instead(number: float) -> Callable[[Call], None]:
    """NaN is what llama.cpp and Ollama answer some texts with."""

    def behave(call: Call) -> None:
        made = replies.embeddings(call.body, None)
        for item in made["data"]:
            if call.body["input"][item["index"]] == "bad":
                item["embedding"] = [number] * 3
        call.send(200, made)

    return behave


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (status(400, "'$.input' is invalid. Please check the API reference."), "BadRequestError"),
        (status(400, "This model's maximum context length is 8192 tokens", code="context_length_exceeded"), "ContextLengthError"),
        (instead(float("nan")), "BadReplyError"),
        (instead(1e39), "BadReplyError"),
    ],
    ids=["refused", "too long", "not a number", "too large a number"],
)
def test_a_bad_text_fails_alone(behaviour: Callable[[Call], None], error: str) -> None:
    texts = [*(f"good {i}" for i in range(50)), "bad", *(f"fine {i}" for i in range(49))]
    with Loopback(fault=refuse("bad", behaviour)) as server, pytest.raises(RowsFailedError) as caught:
        vectors(embedder(server), texts)
    assert [(f["row"], f["error"], f["request"]) for f in caught.value.failures] == [(50, error, "bad")]
    assert server.n_calls <= 2 * 2 * 8  # halves of 100, each asked twice at the most


@pytest.mark.parametrize(
    ("named", "shuffled"),
    [(lambda i: {"index": i} if i else {}, False), (lambda i: {}, False), (lambda i: {"index": None}, False), (lambda i: {"index": i} if i else {}, True)],
    ids=["all but 0", "none", "null", "all but 0, out of order"],
)
def test_an_index_that_is_left_out_is_the_place_in_the_list(named: Callable[[int], dict[str, Any]], shuffled: bool) -> None:
    def behave(call: Call) -> None:
        found = wanted(call.body["input"])
        data = [{"embedding": found[i], **named(i)} for i in range(len(found))]
        call.send(200, {"data": data[::-1] if shuffled else data})

    with Loopback(fault=lambda call: behave) as server:
        assert vectors(embedder(server, attempts=1), ["a", "b", "c"]) == wanted(["a", "b", "c"])
        assert server.n_calls == 1


def test_vectors_that_claim_one_place_are_asked_for_one_by_one() -> None:
    def behave(call: Call) -> None:
        call.send(200, {"data": [{"embedding": v, "index": 0} for v in wanted(call.body["input"])]})

    with Loopback(fault=lambda call: behave) as server:
        assert vectors(embedder(server, attempts=1), ["a", "b"]) == wanted(["a", "b"])
        assert sorted(map(len, inputs(server))) == [1, 1, 2]


def one_too_few(call: Call) -> None:
    made = replies.embeddings(call.body, None)
    made["data"] = made["data"][1:]
    call.send(200, made)


def longer(call: Call) -> None:
    made = replies.embeddings(call.body | {"encoding_format": "float"}, None)
    for item in made["data"]:
        item["embedding"].append(1.0)
    call.send(200, made)


@pytest.mark.parametrize("behaviour", [one_too_few, longer], ids=["a vector is missing", "longer than promised"])
def test_a_reply_that_does_not_fit_is_a_failed_row_and_never_a_wrong_one(behaviour: Callable[[Call], None]) -> None:
    with Loopback(fault=lambda call: behaviour) as server, pytest.raises(RowsFailedError, match="BadReplyError"):
        vectors(embedder(server, attempts=1), ["a", "b"])


@pytest.mark.parametrize(
    ("says", "gone"),
    [
        ("encoding_format is not supported", "encoding_format"),
        ('Model "m" does not support matryoshka representation, changing output dimensions will lead to poor results.', "dimensions"),
        ("Unknown parameter: 'dimensions'", "dimensions"),
    ],
)
def test_a_setting_that_a_server_refuses_is_found_out_once(says: str, gone: str) -> None:
    def fault(call: Call) -> Callable[[Call], None] | None:
        return status(400, says) if gone in call.body else None

    with Loopback(fault=fault) as server:
        out = vectors(embedder(server, batch_size=1, concurrency=1), ["a", "b", "c"])
    assert out == wanted(["a", "b", "c"])
    assert [gone in c.body for c in server.calls] == [True, False, False, False]


def test_a_call_that_was_refused_for_the_moment_is_tried_again_whole() -> None:
    with Loopback(fault=lambda call: status(429, "slow down", headers={"Retry-After": "0.01"}) if call.ordinal == 0 else None) as server:
        assert vectors(embedder(server), ["a", "b"]) == wanted(["a", "b"])
    assert inputs(server) == [["a", "b"], ["a", "b"]]


def test_a_wrong_key_stops_at_once() -> None:
    wrong = status(401, "Incorrect API key provided: sk-secret-0123.")
    with Loopback(fault=lambda call: wrong) as server, pytest.raises(RowsFailedError, match="AuthenticationError") as caught:
        vectors(embedder(server, api_key="sk-secret-0123", concurrency=2), [f"text {i}" for i in range(2000)])
    assert server.n_calls <= 2
    assert "sk-secret" not in str(caught.value)
    assert len(caught.value.failures) == 2000


def test_tokens_and_money_are_counted_by_row(tmp_path: Path) -> None:
    with Loopback() as server, dr.Session(tmp_path, progress=False, prices={"openai/m": (1_000_000.0, 0.0)}) as session:
        vectors(embedder(server), TEXTS)
    n_tokens = sum(replies.words(t) for t in TEXTS)
    assert (session.usage()["tokens_in"], session.usage()["cost"]) == (n_tokens, n_tokens)


def test_a_budget_is_kept(tmp_path: Path) -> None:
    with Loopback() as server, dr.Session(tmp_path, progress=False, prices={"openai/m": (10_000.0, 0.0)}, budget=1.0):
        with pytest.raises(BudgetExceededError):
            vectors(embedder(server, concurrency=1, batch_size=1), [f"text {i}" for i in range(50)])
        assert 0 < server.n_calls < 50


def test_offline_needs_no_server_and_names_what_is_missing(tmp_path: Path) -> None:
    with Loopback() as server:
        with dr.Session(tmp_path, progress=False):
            vectors(embedder(server), ["a", "b"])
        by = embedder(server)
    with dr.Session(tmp_path, progress=False, offline=True):
        assert dr.frame({"text": ["b", "a"]}).embed(by, "text").collect().get_column("embedding").to_list() == wanted(["b", "a"])
        with pytest.raises(OfflineError, match="1 request"):
            vectors(by, ["a", "new"])


def test_without_a_length_there_is_no_schema() -> None:
    with pytest.raises(SettingError, match="dimensions=1024"):
        dr.OpenAIEmbedder("bge-m3")
    with pytest.raises(SettingError, match="batch_size=0"):
        dr.OpenAIEmbedder("text-embedding-3-small", batch_size=0)


def test_a_missing_key_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        dr.OpenAIEmbedder("text-embedding-3-small").key()


def test_the_identity_is_the_model_its_server_and_the_length() -> None:
    small = dr.OpenAIEmbedder("text-embedding-3-small")
    same = [dr.OpenAIEmbedder("text-embedding-3-small", dimensions=1536), dr.OpenAIEmbedder("text-embedding-3-small", batch_size=3, api_key="k", concurrency=1)]
    others = [dr.OpenAIEmbedder("text-embedding-3-small", dimensions=256), dr.OpenAIEmbedder("text-embedding-3-small", base_url="http://x/v1")]
    assert [e.identity_fields() == small.identity_fields() for e in same] == [True, True]
    assert [e.identity_fields() == small.identity_fields() for e in others] == [False, False]
    assert "k'" not in repr(same[1])


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_the_openai_sdk_reads_the_servers_replies(encoding: Any) -> None:
    import openai

    with Loopback() as server, openai.OpenAI(base_url=server.url, api_key="k") as client:
        made = client.embeddings.create(model="m", input=["one", "two words"], encoding_format=encoding)
    assert sorted(d.index for d in made.data) == [0, 1]
    assert made.usage.prompt_tokens == 3
