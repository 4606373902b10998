"""The body of a refusal, however a provider nests it: its message, its codes, what a content filter found, which quota is spent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dreamframe.models.api.error_codes import plain

CODES = ("code", "type", "status", "error_type", "__type", "errorcode", "reason")
WORDS = ("message", "detail", "msg", "Message", "error_description", "description", "title", "faultstring")
LASTING = re.compile(r"per_?(day|month|week)|daily|monthly", re.IGNORECASE)


class Quota(NamedTuple):
    """A quota that Google says was exceeded."""

    name: str
    is_lasting: bool  # of a day, or nothing at all: waiting a minute does not help
    of_model: bool  # of one model alone


def error_of(body: Any) -> dict[str, Any]:
    """What describes the error, as one object; {} where there is nothing of the kind."""
    found = body
    if isinstance(body, bytes | bytearray):
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            return {}
    for _ in range(4):
        if isinstance(found, list):  # Gemini's compatible endpoint answers a list, others list what is wrong
            found = next((x for x in found if isinstance(x, Mapping)), {"message": "; ".join(map(str, found[:5]))})
        if isinstance(found, str):
            return {"message": found}
        if not isinstance(found, Mapping):
            return {}
        names = ("error", "fault") if message_of(found) else ("error", "fault", "errors")
        inner = next((found[k] for k in names if found.get(k) and isinstance(found[k], Mapping | list | str)), None)
        if inner is None:
            return dict(found)
        beside = {k: v for k, v in found.items() if k in (*CODES, "estimated_time", "param") and not (k == "type" and v == "error")}
        if isinstance(inner, str):
            said = message_of(found)
            return {"code": inner, **beside, "message": said} if said else {**beside, "message": inner}
        found = {**beside, **inner} if isinstance(inner, Mapping) else inner
    return dict(found) if isinstance(found, Mapping) else {}


def message_of(found: Mapping[str, Any]) -> str:
    """The provider's own words; "" where there are none."""
    said = next((found[k] for k in WORDS if found.get(k)), "")
    if isinstance(said, list):  # FastAPI names each field that is wrong
        return "; ".join(_field(item) for item in said[:10])
    if isinstance(said, Mapping):
        return message_of(said) or json.dumps(said)
    return said if isinstance(said, str) else json.dumps(said)


def _field(item: Any) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    where = item.get("loc")
    at = ".".join(map(str, where)) if isinstance(where, list | tuple) else ""
    return f"{at}: {message_of(item)}" if at else message_of(item)


def codes_of(found: Mapping[str, Any]) -> tuple[str, ...]:
    """The provider's codes, the most exact one first."""
    codes = [str(found[k]) for k in CODES if isinstance(found.get(k), str | int) and not isinstance(found[k], bool) and found[k] != ""]
    for inner in (found.get("innererror"), found.get("inner_error"), found.get("detail")):
        if isinstance(inner, Mapping):
            codes += codes_of(inner)
    return tuple(codes)


def google_reasons(found: Mapping[str, Any]) -> list[str]:
    """The reasons in google.rpc.ErrorInfo."""
    return [d["reason"] for d in _details(found) if isinstance(d.get("reason"), str)]


def quotas_of(found: Mapping[str, Any]) -> tuple[Quota, ...]:
    """The quotas that google.rpc.QuotaFailure and ErrorInfo name."""
    quotas = []
    for detail in _details(found):
        violations = detail.get("violations")
        for violation in violations if isinstance(violations, list) else ():
            if isinstance(violation, Mapping) and (name := violation.get("quotaId") or violation.get("quotaMetric")):
                quotas.append(_quota(str(name), violation.get("quotaValue")))
        meta = detail.get("metadata")
        if isinstance(meta, Mapping) and (name := meta.get("quota_limit")):
            quotas.append(_quota(str(name), meta.get("quota_limit_value")))
    return tuple(quotas)


def _quota(name: str, value: Any) -> Quota:
    return Quota(name, bool(LASTING.search(name)) or str(value) == "0", "permodel" in name.lower().replace("_", ""))


def _details(found: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    details = found.get("details")
    return (d for d in details if isinstance(d, Mapping)) if isinstance(details, list) else iter(())


def filtered(found: Mapping[str, Any]) -> str | None:
    """What a content filter found, where the provider reports it: Azure's content_filter_result, OpenRouter's metadata. None for any other error."""
    for inner in (found, found.get("innererror"), found.get("inner_error")):
        result = inner.get("content_filter_result") or inner.get("content_filter_results") if isinstance(inner, Mapping) else None
        if isinstance(result, Mapping):
            hits = [_hit(name, what) for name, what in result.items() if isinstance(what, Mapping) and (what.get("filtered") or what.get("detected"))]
            if hits:
                return f"[{', '.join(hits)}]"
        if inner is not found and isinstance(inner, Mapping) and plain(str(inner.get("code"))) == "responsibleaipolicyviolation":
            return ""
    meta = found.get("metadata")
    if isinstance(meta, Mapping) and "flagged_input" in meta and isinstance(reasons := meta.get("reasons"), Sequence):
        return f"[{', '.join(map(str, [reasons] if isinstance(reasons, str) else reasons))}]"
    return None


def _hit(name: Any, what: Mapping[str, Any]) -> str:
    return f"{name}: {what['severity']}" if isinstance(what.get("severity"), str) else str(name)
