"""What refusals mean: codes and headers before words, and words only where there is nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dreamframe.errors import (
    AuthenticationError,
    BadRequestError,
    CallError,
    ContextLengthError,
    QuotaExhaustedError,
    RateLimitedError,
    ServerError,
)
from dreamframe.models.api.error_replies import ErrorReply, status_of
from dreamframe.models.api.http import Reply
from dreamframe.models.llms.openai import OpenAI
from tests.asking import ask_all
from tests.loopback import Loopback

BILLING = "TPM limit 6000 reached. Try again in 1s. Upgrade at https://x.example/settings/billing"
QUOTA = "You exceeded your current quota, please check your plan and billing details."
VIOLATION = "type.googleapis.com/google.rpc.QuotaFailure"
PER_DAY, PER_MINUTE = "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"


def google(*, quota: str | None = None, delay: str | None = None, value: str | None = None) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if quota is not None:
        details.append({"@type": VIOLATION, "violations": [{"quotaId": quota, **({"quotaValue": value} if value else {})}]})
    if delay is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    return [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": QUOTA, "details": details}}]


def refusal(status: int, body: Any, headers: dict[str, str] | None = None) -> ErrorReply:
    return ErrorReply(Reply(status, headers or {}, body if isinstance(body, bytes) else json.dumps(body).encode()))


def error(status: int, body: Any, headers: dict[str, str] | None = None) -> CallError:
    return refusal(status, body, headers).error(place="here")


def coded(message: str, **codes: Any) -> dict[str, Any]:
    return {"error": {"message": message, **codes}}


NOT_NOW = {
    "groq, with a link": (429, coded(BILLING, code="rate_limit_exceeded", type="tokens"), {}),
    "a header beside such words": (429, coded(QUOTA), {"Retry-After": "1"}),
    "milliseconds": (429, coded(QUOTA), {"retry-after-ms": "20"}),
    "nothing left, says a header": (429, coded(QUOTA), {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2s"}),
    "gemini, a minute": (429, google(quota=PER_MINUTE, delay="7s"), {}),
    "gemini, RetryInfo": (429, google(delay="1.5s"), {}),
    "gemini, no details": (429, google(), {}),
    "anthropic": (429, {"type": "error", "error": {"type": "rate_limit_error", "message": "see billing"}}, {}),
    "words of a pace": (429, coded("exceeded your current quota of 60 requests per minute"), {}),
    "no words": (429, b"<html>slow</html>", {}),
    "mistral": (429, {"object": "error", "message": "Service tier capacity exceeded", "type": "service_tier_capacity_exceeded", "code": "3505"}, {}),
    "moonshot": (429, coded("The engine is overloaded", type="engine_overloaded_error"), {}),
    "tei": (429, {"error": "Model is overloaded", "error_type": "overloaded"}, {}),
    "aws": (400, {"__type": "ThrottlingException", "message": "Rate exceeded"}, {}),
}


@pytest.mark.parametrize("name", NOT_NOW)
def test_a_rate_limit_is_waited_for(name: str) -> None:
    found = error(*NOT_NOW[name])
    assert type(found) is RateLimitedError
    assert not found.stops_run


EMPTY = {
    "openai": (429, coded(QUOTA, code="insufficient_quota", type="insufficient_quota"), {}),
    "openai, with a time to wait": (429, coded(QUOTA, code="insufficient_quota"), {"Retry-After": "1"}),
    "openai, the code alone": (429, coded("no", code="insufficient_quota"), {}),
    "words alone": (429, coded(QUOTA), {}),
    "deepseek": (402, coded("Insufficient Balance", type="unknown_error", code="invalid_request_error"), {}),
    "anthropic": (400, {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the Anthropic API."}}, {}),
    "anthropic, billing": (402, {"error": {"type": "billing_error", "message": "no"}}, {}),
    "openai, hard limit": (400, coded("Billing hard limit has been reached", code="billing_hard_limit_reached"), {}),
    "moonshot": (429, coded("suspended", type="exceeded_current_quota_error"), {}),
    "gemini, a day": (429, google(quota=PER_DAY, delay="34s"), {}),
    "gemini, none at all": (429, google(quota=PER_MINUTE, delay="34s", value="0"), {}),
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_account_stops_the_run(name: str) -> None:
    found = error(*EMPTY[name])
    assert type(found) is QuotaExhaustedError
    assert found.stops_run


def test_a_spent_day_is_that_of_the_model_and_is_named() -> None:
    found = error(429, google(quota=PER_DAY))
    assert found.of_model
    assert PER_DAY in str(found)


@pytest.mark.parametrize("quoted", ["my credit balance is too low", "insufficient funds", "payment required", "billing"])
def test_what_the_caller_wrote_is_no_empty_account(quoted: str) -> None:
    assert type(error(400, coded(f"Invalid 'messages[0].content': {quoted!r}"))) is BadRequestError


def test_the_time_to_wait_may_stand_in_the_body() -> None:
    assert refusal(429, google(delay="1.5s")).retry_after_s == 1.5
    assert refusal(503, {"error": "Model m is currently loading", "estimated_time": 20.0}).retry_after_s == 20.0


@pytest.mark.parametrize("odd", ["-5", "nan", "inf", "1e999", "soon", "1.2.3", "", "Wed, 99 Foo 2999 00:00:00 GMT", "9" * 400])
@pytest.mark.parametrize("name", ["Retry-After", "retry-after-ms"])
def test_an_odd_time_to_wait_is_none_or_a_number(name: str, odd: str) -> None:
    found = refusal(429, {}, {name: odd}).retry_after_s
    assert found is None or 0 <= found < float("inf")


def test_a_request_that_no_minute_can_hold_is_refused_for_good() -> None:
    never = "Request too large for m on tokens per min (TPM): Limit 10000, Requested 12,500. The input must be reduced."
    assert type(error(429, coded(never, code="rate_limit_exceeded"))) is BadRequestError
    fits = "Rate limit reached for m on tokens per min (TPM): Limit 10000, Used 9500, Requested 900."
    assert type(error(429, coded(fits, code="rate_limit_exceeded"))) is RateLimitedError


KEYS = {
    "openai": (401, coded("Incorrect API key", code="invalid_api_key"), {}),
    "anthropic": (401, {"error": {"type": "authentication_error", "message": "invalid x-api-key"}}, {}),
    "google": (400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "no", "details": [{"reason": "API_KEY_INVALID"}]}}, {}),
    "a country": (403, coded("not supported", code="unsupported_country_region_territory"), {}),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_that_is_refused_by_name_stops_at_once(name: str) -> None:
    found = error(*KEYS[name])
    assert type(found) is AuthenticationError
    assert found.stops_run


IN_DOUBT = {
    "a firewall": (403, b"<html>Blocked</html>", (4, None)),
    "a firewall's json": (403, coded("Blocked by the firewall"), (4, None)),
    "anthropic": (403, {"error": {"type": "permission_error", "message": "no"}}, (4, None)),
    "mistral's 401": (401, {"message": "Unauthorized"}, (2, 4)),
    "no such model": (404, coded("The model `x` does not exist", code="model_not_found"), (1, 4)),
    "a model of another project": (403, coded("no access", code="model_not_found"), (1, 4)),
}


@pytest.mark.parametrize("name", IN_DOUBT)
def test_what_may_be_one_rows_alone_waits_for_others(name: str) -> None:
    status, body, stops_after = IN_DOUBT[name]
    found = error(status, body)
    assert (found.stops_run, found.stops_after) == (False, stops_after)


FILTERED: dict[str, tuple[int, Any, str | None]] = {
    "azure": (
        400,
        coded(
            "The response was filtered.",
            code="content_filter",
            innererror={
                "code": "ResponsibleAIPolicyViolation",
                "content_filter_result": {"hate": {"filtered": True, "severity": "high"}, "violence": {"filtered": False, "severity": "safe"}},
            },
        ),
        "The response was filtered. [hate: high]",
    ),
    "azure, jailbreak": (
        400,
        coded("filtered", code=None, innererror={"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"jailbreak": {"detected": True}}}),
        "filtered [jailbreak]",
    ),
    "openai": (400, coded("Your request was rejected", code="content_policy_violation"), None),
    "openai, images": (400, coded("rejected", code="moderation_blocked"), None),
    "dashscope": (400, {"code": "DataInspectionFailed", "message": "Input data may contain inappropriate content."}, None),
    "openrouter": (403, coded("Input flagged", code=403, metadata={"reasons": ["violence"], "flagged_input": "x"}), "Input flagged [violence]"),
}


@pytest.mark.parametrize("name", FILTERED)
def test_a_content_filter_is_known_by_its_code_and_says_why(name: str) -> None:
    status, body, said = FILTERED[name]
    found = refusal(status, body)
    assert (found.is_moderated, found.filtered_for) == (True, said)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, coded("Your account has been flagged for a violation of the content policy")),
        (403, b"<html>flagged by our safety system: moderation</html>"),
        (400, coded("Invalid schema for response_format: In context=('properties', 'flagged'), unsupported", code="invalid_request_error")),
        (400, coded("'content_filter' is not a setting of this model", param="content_filter")),
        (400, coded("content management policy, ResponsibleAI, moderation", code="invalid_request_error")),
        (500, coded("x", code="content_filter")),
        (403, coded("no", code="account_deactivated")),
    ],
    ids=["an account", "a page", "a schema", "a setting", "words", "a broken filter", "a closed account"],
)
def test_no_word_makes_a_refusal_of_the_caller_an_answer(status: int, body: Any) -> None:
    assert not refusal(status, body).is_moderated


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": ["first", "second"]}, "first; second"),
        ({"errors": [{"message": "of a list", "code": "x"}]}, "of a list"),
        ({"detail": [{"loc": ["body", "model"], "msg": "field required", "type": "missing"}]}, "body.model: field required"),
        ({"detail": {"message": "inside"}}, "inside"),
        ({"message": "on top"}, "on top"),
        ({"error": "a word"}, "a word"),
        ({"error": "invalid_request", "error_description": "described"}, "described"),
        ({"error": {"message": {"deep": 1}}}, '{"deep": 1}'),
        ({"error": None}, "null"),
        ([[]], "[]"),
        ("", "no reason given"),
        (b"<html><title>524</title>A timeout occurred</html>", "524 A timeout occurred"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_the_servers_words_are_found_wherever_they_stand(body: Any, said: str) -> None:
    assert said in str(error(422, body if body else b""))


@pytest.mark.parametrize("status", [408, 409, 425, 424, 499, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 529, 530, 999])
def test_what_passes_is_tried_again(status: int) -> None:
    found = error(status, b"<html>Web server is down</html>")
    assert isinstance(found, ServerError)
    assert not found.is_loading


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"code": 429}, 429),
        ({"code": "429"}, 429),
        ({"code": "rate_limit_exceeded"}, 429),
        ({"code": "insufficient_quota"}, 402),
        ({"code": "invalid_api_key"}, 401),
        ({"code": "content_filter"}, 400),
        ({"code": "context_length_exceeded"}, 400),
        ({"code": 7}, 500),
        ({"message": "rate limit 429"}, 500),
        ("words", 500),
    ],
    ids=str,
)
def test_an_error_that_came_with_200_has_the_status_of_its_code(body: Any, status: int) -> None:
    assert status_of(body) == status


def test_a_filter_that_answers_with_200_is_one_row_and_no_fault_of_the_server() -> None:
    status, body, said = FILTERED["azure"]
    with Loopback(fault=lambda call: (lambda c: c.send(200, body | {"choices": None})) if call.prompt == "a" else None) as server:
        first, second = ask_all(OpenAI("m", base_url=server.url, api_key="k"), ["a", "b"])
    assert (first.finish, first.text, second.text, server.n_calls) == ("content_filter", said, "b", 2)
    assert status == 400


def test_a_model_that_loads_is_there() -> None:
    assert error(503, coded("Loading model", code=503, type="unavailable_error")).is_loading  # type: ignore[attr-defined]
    assert error(503, {"error": "Model m is currently loading", "estimated_time": 20.0}).is_loading  # type: ignore[attr-defined]
    assert not error(503, coded("Overloaded")).is_loading  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, coded("no", code="context_length_exceeded")),
        (413, coded("prompt is too long: 300000 tokens")),
        (400, coded("x", type="exceed_context_size_error")),
    ],
)
def test_a_prompt_that_is_too_long_is_known_by_code_or_words(status: int, body: Any) -> None:
    assert type(error(status, body)) is ContextLengthError


def test_a_body_that_is_too_large_is_the_rows() -> None:
    assert type(error(413, {"error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}})) is BadRequestError
    assert type(error(413, coded("TPM", code="rate_limit_exceeded"))) is BadRequestError
