"""Runs as OpenTelemetry spans, as its SDK exports them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import polars as pl
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import dreamframe as dr
from dreamframe.run.calls import journal_first
from tests.loopback import faults
from tests.loopback.server import Call, Loopback

KEY = "sk-abcdefghijklmnop123456"
EXPORTED = InMemorySpanExporter()
ROWS = dr.frame({"t": ["tea", "jam", "rye"]})


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    """What the SDK has exported: a process sets its provider once."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider())
        trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(EXPORTED))
    EXPORTED.clear()
    yield EXPORTED
    EXPORTED.clear()


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback(lambda body: "hm</think>yes") as running:
        yield running


def told(exported: InMemorySpanExporter, operation: str | None) -> list[ReadableSpan]:
    return [s for s in exported.get_finished_spans() if (s.attributes or {}).get("gen_ai.operation.name") == operation]


def given(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def parents(exported: InMemorySpanExporter) -> dict[str, str | None]:
    """The name of each span → of its parent."""
    names = {s.context.span_id: s.name for s in exported.get_finished_spans()}
    return {s.name: names.get(s.parent.span_id) if s.parent else None for s in exported.get_finished_spans()}


def test_a_request_says_what_was_asked_for_and_what_came_back(exported: InMemorySpanExporter, server: Loopback):
    llm = dr.OpenAI("gpt-4o-mini", base_url=server.url, api_key=KEY, system="Be good", temperature=0, max_tokens=9, top_p=0.5, stop=["#"], extra={"top_k": 4})
    with dr.Session(None, telemetry=True, prices={"gpt-4o-mini": (1.0, 2.0)}) as session:
        ROWS.head(1).prompt(llm, "Sum {t}", into="sum", seed=7).collect()
        (key,), (cost,) = session.answers()["key"], session.usage(by="step")["cost"]
    (span,) = told(exported, "chat")
    assert (span.name, span.kind, span.status.is_unset) == ("chat gpt-4o-mini", trace.SpanKind.CLIENT, True)
    assert given(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.top_k": 4.0,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ("#",),
        "gen_ai.response.model": "gpt-4o-mini-2026",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 1,
        "gen_ai.usage.cache_read.input_tokens": 1,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "dreamframe.key": key,
        "dreamframe.cost": cost,
    }


def test_each_request_is_a_child_of_its_step_and_that_of_its_run_and_that_of_the_caller(exported: InMemorySpanExporter, server: Loopback):
    llm = dr.OpenAI("m", base_url=server.url)
    vectors = dr.OpenAIEmbedder("e", base_url=server.url, dimensions=3)
    plan = ROWS.prompt(llm, "Sum {t}", into="sum").embed(vectors, "t", into="vector")
    with dr.Session(None, telemetry=True), trace.get_tracer("mine").start_as_current_span("mine"):
        plan.collect()
    assert parents(exported) == {
        "chat m": "step sum",
        "embeddings e": "step vector",
        "step sum": "invoke_workflow vector",
        "step vector": "invoke_workflow vector",
        "invoke_workflow vector": "mine",
        "mine": None,
    }
    (texts,) = told(exported, "embeddings")
    assert (given(texts)["gen_ai.embeddings.dimension.count"], "gen_ai.usage.output_tokens" in given(texts)) == (3, False)
    steps = {s.name: given(s) for s in told(exported, None)}
    assert steps["step sum"]["dreamframe.asked"] == len(told(exported, "chat")) == 3
    for span in exported.get_finished_spans():
        assert span.start_time <= span.end_time


def test_what_is_kept_is_no_request(exported: InMemorySpanExporter, server: Loopback):
    plan = ROWS.prompt(dr.OpenAI("m", base_url=server.url), "Sum {t}", into="sum")
    with dr.Session(None, telemetry=True):
        plan.collect()
        exported.clear()
        plan.select("sum").with_columns(n=1).filter(pl.col("sum").is_not_null()).collect()
    assert told(exported, "chat") == []
    (run,) = told(exported, "invoke_workflow")
    assert given(run)["dreamframe.asked"] == 0


@pytest.mark.parametrize("telemetry", [True, "content"])
def test_texts_stand_in_spans_only_where_they_are_asked_for(telemetry: Any, exported: InMemorySpanExporter, server: Loopback):
    llm = dr.OpenAI("m", base_url=server.url, api_key=KEY, system="Be good")
    with dr.Session(None, telemetry=telemetry):
        ROWS.head(1).prompt(llm, f"Sum {{t}} with {KEY}", into="sum").collect()
    (span,) = told(exported, "chat")
    said = {name.removeprefix("gen_ai."): json.loads(value) for name, value in given(span).items() if name.endswith(("messages", "instructions"))}
    if telemetry is True:
        assert said == {}
        assert "tea" not in str([s.to_json() for s in exported.get_finished_spans()])
        return
    assert said["system_instructions"] == [{"type": "text", "content": "Be good"}]
    (sent,) = said["input.messages"]
    assert (sent["role"], sent["parts"][0]["content"][:12]) == ("user", "Sum tea with")
    thoughts, answer = {"type": "reasoning", "content": "hm"}, {"type": "text", "content": "yes"}
    assert said["output.messages"] == [{"role": "assistant", "parts": [thoughts, answer], "finish_reason": "stop"}]
    assert KEY not in str([s.to_json() for s in exported.get_finished_spans()])


@pytest.mark.parametrize("telemetry", [True, "content"])
def test_a_request_that_fails_names_the_error(telemetry: Any, exported: InMemorySpanExporter):
    with Loopback(fault=lambda call: faults.status(400, "no tea here") if "tea" in call.prompt else None) as server:
        plan = ROWS.prompt(dr.OpenAI("m", base_url=server.url), "Sum {t}", into="sum", on_error="null")
        with dr.Session(None, telemetry=telemetry):
            plan.collect()
    failed = [s for s in told(exported, "chat") if not s.status.is_unset]
    assert [(given(s)["error.type"], given(s)["http.response.status_code"]) for s in failed] == [("BadRequestError", 400)]
    assert failed[0].status.status_code == trace.StatusCode.ERROR
    assert ("no tea here" in str(failed[0].status.description)) == (telemetry == "content"), "an error may quote a text"
    assert [given(s)["dreamframe.failed"] for s in told(exported, None)] == [1]


def test_a_request_that_is_tried_again_is_one_span(exported: InMemorySpanExporter):
    def once(call: Call) -> Any:
        return faults.status(500) if server.prompts.count(call.prompt) == 1 else None

    with Loopback(fault=once) as server, dr.Session(None, telemetry=True):
        ROWS.prompt(dr.OpenAI("m", base_url=server.url, backoff_s=0.001), "Sum {t}", into="sum").collect()
    assert [given(s)["dreamframe.attempts"] for s in told(exported, "chat")] == [2, 2, 2]


def test_a_pack_of_texts_that_is_refused_has_spans_of_its_own_parts(exported: InMemorySpanExporter):
    with Loopback(fault=lambda call: faults.status(400) if "jam" in str(call.body) else None) as server, dr.Session(None, telemetry=True):
        ROWS.embed(dr.OpenAIEmbedder("e", base_url=server.url, dimensions=3), "t", into="v", on_error="null").collect()
    ends = [(given(s).get("error.type"), given(s).get("gen_ai.usage.input_tokens") is not None) for s in told(exported, "embeddings")]
    assert (len(ends), ends.count((None, True)), ends.count(("BadRequestError", False))) == (len(server.calls), 2, len(server.calls) - 2)


def test_what_a_stopped_run_leaves_behind_is_ended(exported: InMemorySpanExporter):
    with Loopback(fault=lambda call: faults.status(401)) as server, dr.Session(None, telemetry=True), suppress(dr.errors.RunError):
        ROWS.prompt(dr.OpenAI("m", base_url=server.url, concurrency=1), "Sum {t}", into="sum").collect()
    assert len(told(exported, "chat")) == len(server.calls)
    assert {given(s)["error.type"] for s in told(exported, "chat")} == {"AuthenticationError"}
    assert [given(s)["error.type"] for s in told(exported, "invoke_workflow")] == ["RowsFailedError"]


def test_what_waits_for_another_try_when_nothing_more_leaves_is_ended_too(exported: InMemorySpanExporter):
    def behave(call: Call) -> Any:
        return faults.status(500 if "tea" in call.prompt else 401)

    with Loopback(fault=behave, latency_s=lambda call: 0.0 if "tea" in call.prompt else 0.2) as server, dr.Session(None, telemetry=True):
        ROWS.prompt(dr.OpenAI("m", base_url=server.url, backoff_s=20), "Sum {t}", into="sum", on_error="null").collect()
    assert {given(s)["error.type"] for s in told(exported, "chat")} == {"AuthenticationError"}
    assert "Sum tea" in server.prompts


def test_what_is_in_flight_when_the_run_is_cancelled_is_ended(exported: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journal_first, "GRACE_S", 0.05)

    async def stopped(plan: dr.Frame) -> None:
        running = asyncio.create_task(plan.collect_async())
        await asyncio.to_thread(server.saw.wait)
        running.cancel()
        await asyncio.wait([running])

    with Loopback(latency_s=60) as server, dr.Session(None, telemetry=True):
        asyncio.run(stopped(ROWS.prompt(dr.OpenAI("m", base_url=server.url), "Sum {t}", into="sum")))
    assert {given(s)["error.type"] for s in told(exported, "chat")} == {"CancelledError"}
    assert [given(s)["error.type"] for s in told(exported, "invoke_workflow")] == ["CancelledError"]


def test_probes_are_requests_too(exported: InMemorySpanExporter, server: Loopback):
    with dr.Session(None, telemetry=True):
        ROWS.prompt(dr.OpenAI("m", base_url=server.url), "Sum {t}", into="sum").estimate(probe=2)
    assert len(told(exported, "chat")) == 2


def test_models_of_this_process_are_seen_as_well(exported: InMemorySpanExporter):
    with dr.Session(None, telemetry=True):
        ROWS.prompt(dr.testing.Echo(), "Sum {t}", into="sum", schema=None).collect()
    assert {(s.name, s.kind, given(s)["gen_ai.provider.name"]) for s in told(exported, "chat")} == {("chat echo", trace.SpanKind.INTERNAL, "echo")}


def test_without_it_nothing_is_imported():
    code = """
import sys, dreamframe as dr
with dr.Session(None):
    dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"


def test_where_it_is_not_installed_the_session_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "dreamframe.run.spans", raising=False)
    with pytest.raises(dr.errors.MissingExtraError, match=r"pip install 'dreamframe\[otel\]'"):
        dr.Session(None, telemetry=True)


def test_a_word_that_it_does_not_know_is_refused():
    with pytest.raises(dr.errors.SettingError, match="telemetry='all'; give True"):
        dr.Session(None, telemetry="all")
