"""Runs as OpenTelemetry spans: one for a run, one for each step that worked in it, one for each request that left.

Where they go is the business of the SDK that the program has set up: without one, OpenTelemetry throws them away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dreamframe.errors import CallError, MissingExtraError
from dreamframe.models.api.settings import ApiSettings
from dreamframe.models.embedders.openai import Pack
from dreamframe.models.request import Completion, Failure, Question, Request
from dreamframe.run.calls import gen_ai
from dreamframe.run.stats import RunStats, StepStats
from dreamframe.store.layout import version_of

try:
    from opentelemetry import context as contexts
    from opentelemetry import trace
except ImportError as exc:
    raise MissingExtraError("opentelemetry-api", extra="otel", needed_for="Session(telemetry=…)") from exc

GIVEN_UP = "CancelledError"  # of requests whose run was stopped


class RunSpans:
    """The spans of one run, as `Watches`. Made where the run is asked for: the caller's own span is their parent. Lives in the event loop afterwards.

    >>> from opentelemetry.sdk.trace import TracerProvider
    >>> from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    >>> from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    >>> seen, provider = InMemorySpanExporter(), TracerProvider()
    >>> provider.add_span_processor(SimpleSpanProcessor(seen))
    >>> spans = RunSpans(has_content=False, provider=provider)  # a session takes the provider of the program
    >>> with spans.of_run(["said"], RunStats(), str):
    ...     pass
    >>> [span.name for span in seen.get_finished_spans()]
    ['invoke_workflow said']
    """

    def __init__(self, *, has_content: bool, provider: trace.TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("dreamframe", version_of("dreamframe"), provider)
        self._has_content = has_content  # whether what is said stands in them
        self._context = contexts.get_current()
        self._zero = time.time_ns() - time.monotonic_ns()
        self._hides: Callable[[str], str] = str
        self._steps: dict[int, tuple[StepStats, trace.Span, contexts.Context]] = {}  # by id of the account
        self._ends: dict[int, int] = {}  # id of the account → when its last request was over
        self._asked: dict[str, tuple[Any, str, trace.SpanKind, gen_ai.Attributes]] = {}  # by digest of the question, and its model
        self._open: dict[bytes, tuple[Request, trace.Span]] = {}  # by answer key

    @contextmanager
    def of_run(self, labels: Sequence[str], stats: RunStats, hides: Callable[[str], str]) -> Iterator[None]:
        """The span of the whole run, with those of the steps that asked nothing."""
        self._hides = hides
        name = hides(", ".join(labels))
        given: gen_ai.Attributes = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": name}
        span = self._tracer.start_span(f"invoke_workflow {name}", self._context, attributes=given)
        self._context = trace.set_span_in_context(span, self._context)
        try:
            yield
        except BaseException as exc:
            self._failed(span, type(exc).__name__)
            raise
        finally:
            for step in stats.steps:
                self._step(step)
            for at, (step, of_step, _) in self._steps.items():
                of_step.set_attributes(_counts(step))
                of_step.end(self._ends.get(at) or (None if step.ended is None else self._zero + int(1e9 * step.ended)))
            span.set_attributes({"dreamframe.asked": stats.calls, "dreamframe.kept": stats.cached, "dreamframe.failed": len(stats.failed_so_far)})
            span.end()

    def _step(self, stats: StepStats) -> contexts.Context:
        known = self._steps.get(id(stats))
        if known is None:
            began = self._zero + int(1e9 * stats.started)
            span = self._tracer.start_span(f"step {stats.label}", self._context, start_time=began, attributes={"dreamframe.step": stats.label})
            known = self._steps[id(stats)] = (stats, span, trace.set_span_in_context(span, self._context))
        return known[2]

    # Requests

    def leaves(self, request: Request) -> None:
        """The span of a request covers all its tries."""
        if request.key in self._open:
            return
        name, kind, given = self._known(request.question)
        if not isinstance(request, Pack):
            given = {**given, "dreamframe.key": request.key.hex()}  # by which session.answers() has its answer
        span = self._tracer.start_span(name, self._step(request.owner), kind=kind, attributes=given)
        if self._has_content and span.is_recording():
            span.set_attributes(gen_ai.said_to(request, self._hides))
        self._open[request.key] = (request, span)

    def _known(self, question: Question) -> tuple[str, trace.SpanKind, gen_ai.Attributes]:
        known = self._asked.get(question.digest)
        if known is None or known[0] is not question.llm:
            given = gen_ai.asked(question, self._hides)
            kind = trace.SpanKind.CLIENT if isinstance(question.llm, ApiSettings) else trace.SpanKind.INTERNAL
            name = f"{given['gen_ai.operation.name']} {given['gen_ai.request.model']}"
            known = self._asked[question.digest] = (question.llm, name, kind, given)
        return known[1:]

    def is_open(self, request: Request) -> bool:
        """Whether a request has left and is not over."""
        return request.key in self._open

    def answered(self, request: Request, completions: Sequence[Completion], cost: float | None) -> None:
        """A request was answered: a text, or the vectors of all texts in it. `cost` in US dollars; None where nobody knows."""
        if (found := self._open.pop(request.key, None)) is None:
            return
        span, is_text = found[1], request.question.form != "input"
        if span.is_recording():
            made = gen_ai.answered(completions, is_text=is_text)
            if (attempts := completions[0].attempts or 1) > 1:
                made["dreamframe.attempts"] = attempts
            if cost is not None:
                made["dreamframe.cost"] = cost
            span.set_attributes(made)
            if self._has_content and is_text:
                span.set_attributes(gen_ai.said_by(completions[0], self._hides))
        self._end(request, span)

    def failed(self, request: Request, error: CallError | Failure | None) -> None:
        """A request is over without an answer; None where nobody waited for one any more."""
        if (found := self._open.pop(request.key, None)) is None:
            return
        span = found[1]
        if isinstance(error, CallError) and error.status is not None:
            span.set_attribute("http.response.status_code", error.status)
        if isinstance(error, Failure) and error.attempts > 1:
            span.set_attribute("dreamframe.attempts", error.attempts)
        kind = GIVEN_UP if error is None else error.error if isinstance(error, Failure) else type(error).__name__
        said = "" if error is None or not self._has_content else error.message if isinstance(error, Failure) else str(error)
        self._failed(span, kind, self._hides(said))
        self._end(request, span)

    def give_up(self) -> None:
        """End what is open: the run waits no more."""
        for request, _ in list(self._open.values()):
            self.failed(request, None)

    def _end(self, request: Request, span: trace.Span) -> None:
        now = time.time_ns()
        self._ends[id(request.owner)] = now
        span.end(now)

    def _failed(self, span: trace.Span, kind: str, said: str = "") -> None:
        """What an error says may quote a text: it stands in a span where the texts may."""
        span.set_attribute("error.type", kind)
        span.set_status(trace.Status(trace.StatusCode.ERROR, said or None))


def _counts(stats: StepStats) -> gen_ai.Attributes:
    """What a step has done. Tokens stand in its requests alone, so that whoever adds them up counts none twice."""
    made: gen_ai.Attributes = {"dreamframe.rows": stats.rows, "dreamframe.asked": stats.asked, "dreamframe.kept": stats.cached}
    made |= {"dreamframe.failed": stats.failed, "dreamframe.retries": stats.retries}
    if stats.model:
        made["dreamframe.model"] = stats.model
    if stats.cost is not None:
        made["dreamframe.cost"] = stats.cost
    return made
