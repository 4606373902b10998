"""How answers end: the few words that are kept in the journal, and the many that providers say them in."""

from __future__ import annotations

import re
from functools import lru_cache

STOP, LENGTH = "stop", "length"  # the good ends: the model was done, or the room for its answer was
FILTERED, REFUSED = "content_filter", "refusal"
TOOLS = "tool_calls"  # it wants a tool to be called, and has not answered
THOUGHTS = "thoughts"  # it was done, and all that it gave were thoughts
BROKEN = "error"  # the server gave up half-way
OTHERS = {  # in lower case, words joined by "_"
    STOP: "eos eos_token eos_found end end_turn end_of_text endoftext stop_sequence stop_token stop_string_found complete completed done finish finished",
    LENGTH: "max_tokens max_output_tokens max_completion_tokens max_new_tokens max_length max_len model_length token_limit limit context context_length "
    "context_length_exceeded context_window_exceeded model_context_window_exceeded error_limit",
    FILTERED: "contentfilter content_filtered content_policy_violation sensitive safety image_safety recitation blocklist prohibited_content spii blocked "
    "model_armor guardrail guardrails guardrail_intervened error_toxic",
    REFUSED: "refused",
    TOOLS: "tool_call tool_use function_call malformed_function_call unexpected_tool_call",
    BROKEN: "abort aborted cancel cancelled canceled fail failed failure interrupted timeout time_limit network_error internal_error server_error overloaded "
    "unavailable not_finished insufficient_system_resource",
}
ENDS = {kept: kept for kept in (STOP, LENGTH, FILTERED, REFUSED, TOOLS, THOUGHTS, BROKEN)}
ENDS |= {other: kept for kept, others in OTHERS.items() for other in others.split()}
PREFIX = re.compile(r"^(finish|stop)_?reason[._]")


@lru_cache(maxsize=1024)
def end_of(word: str) -> str:
    """A provider's word for how an answer ended as one of those above; a word that is not known stays as it is, and is not a good end.

    >>> end_of("MAX_TOKENS"), end_of("content_filter: hate"), end_of("moved on")
    ('length', 'content_filter', 'moved on')
    """
    plain = PREFIX.sub("", word.strip().lower().replace("-", "_"))
    return ENDS.get(plain) or ENDS.get(re.split(r"[:(\s]", plain, maxsplit=1)[0]) or word


def is_end(word: str) -> bool:
    """Whether a provider's word is one for the end of an answer, good or not."""
    return end_of(word) in ENDS and end_of(word) != BROKEN
