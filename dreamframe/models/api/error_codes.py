"""What providers' own codes mean, as their documentation has them. Written in lower case without marks: "InsufficientQuota" is `insufficientquota`.

OpenAI, Azure, Anthropic, Google (google.rpc), Groq, Mistral, DeepSeek, Moonshot, DashScope, Together, Fireworks, OpenRouter, AWS, llama.cpp, litellm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Meaning = Literal["key", "empty", "rate", "moderated", "long", "model"]

MEANINGS: dict[Meaning, str] = {
    # nothing that is sent with this key can succeed
    "key": (
        "invalid_api_key incorrect_api_key missing_api_key api_key_invalid api_key_expired expired_api_key authentication_error invalid_authentication "
        "invalid_authentication_error incorrect_api_key_error unauthenticated unsupported_country_region_territory account_deactivated "
        "organization_deactivated invalid_organization mismatched_organization mismatched_project ip_not_authorized "
        "invalid_subscription_key expired_token_exception unrecognized_client_exception invalid_signature_exception missing_authentication_token "
        "api_key_service_blocked api_key_http_referrer_blocked api_key_ip_address_blocked service_disabled consumer_suspended consumer_invalid "
        "user_project_denied organization_restricted AuthenticationError"
    ),
    # the account has nothing left
    "empty": (
        "insufficient_quota insufficient_balance insufficient_funds insufficient_credits insufficient_credit out_of_credits credit_balance_too_low "
        "billing_error billing_not_active billing_hard_limit_reached billing_disabled payment_required exceeded_current_quota_error blocked_api_access "
        "arrearage budget_exceeded BudgetExceededError"
    ),
    # not now
    "rate": (
        "rate_limit_exceeded rate_limit_error rate_limit_reached_error rate_limited rate_limit ratelimit_exceeded too_many_requests tokens requests "
        "throttling throttling_exception throttled_exception request_limit_exceeded service_tier_capacity_exceeded engine_overloaded_error "
        "overloaded_error overloaded slow_down RateLimitError"
    ),
    # the prompt was refused by a content filter
    "moderated": (
        "content_filter content_policy_violation image_content_policy_violation moderation_blocked responsible_ai_policy_violation data_inspection_failed"
    ),
    # the prompt is longer than the model's context
    "long": "context_length_exceeded string_above_max_length exceed_context_size_error context_window_exceeded",
    # no such model here, or not for this key
    "model": "model_not_found model_not_available deployment_not_found model_not_exist model_decommissioned NotFoundError",
}


def plain(code: str) -> str:
    """A code without its marks.

    >>> plain("InsufficientQuota") == plain("insufficient_quota")
    True
    """
    return re.sub(r"[^a-z0-9]+", "", code.lower())


_BY_CODE: dict[str, Meaning] = {plain(code): meaning for meaning, codes in MEANINGS.items() for code in codes.split()}


def meaning_of(codes: Iterable[str]) -> Meaning | None:
    """What the first code means that is known."""
    return next((_BY_CODE[c] for code in codes if (c := plain(code)) in _BY_CODE), None)
