"""What to say of a reply that came because the address was wrong: what was asked, and what is most likely wrong with base_url."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from dreamframe.models.api.error_codes import meaning_of
from dreamframe.models.api.error_replies import ErrorReply
from dreamframe.redaction.secret import SecretPart

LOST = (404, 405)
OPERATIONS = re.compile(r"(?:/v1)?/(?:chat/completions|completions|responses|embeddings|messages|chat|generate)$|(?<=/v1)/models$")
VERSION = re.compile(r"/v\d\w*(/|$)")


def is_lost(refused: ErrorReply) -> bool:
    """Whether the address is not there, and not the model behind it."""
    return refused.status in LOST and meaning_of(refused.codes) != "model" and "model" not in refused.message.lower()


def asked_at(endpoint: str, path: str) -> str:
    """Host and path that were asked, without login, query and secrets."""
    base = urlsplit(endpoint.shown if isinstance(endpoint, SecretPart) else endpoint)
    return f"{base.netloc}{base.path.rstrip('/')}{path}"


def hint(endpoint: str, path: str) -> str:
    """What base_url= should most likely be; "" where it looks as it should.

    >>> hint("http://localhost:11434", "/chat/completions")
    " Does base_url lack '/v1'? Try base_url='http://localhost:11434/v1'."
    >>> hint("https://gateway.corp/v1", "/v1/messages")
    " '/v1/messages' is put to base_url, which ends in '/v1' already. Try base_url='https://gateway.corp'."
    """
    shown = endpoint.shown if isinstance(endpoint, SecretPart) else endpoint
    parts = urlsplit(shown)
    base = parts.path.rstrip("/")

    def instead(changed: str) -> str:
        return f"Try base_url={urlunsplit((parts.scheme, parts.netloc, changed, '', ''))!r}."

    if (whole := OPERATIONS.search(base)) is not None:
        told = base[: whole.start()] if path.startswith("/v1/") else base[: whole.start()] + ("/v1" if whole[0].startswith("/v1/") else "")
        return f" base_url ends in {whole[0]!r}, the address of one operation: {path!r} is put to it. {instead(told)}"
    if "/v1/v1" in base:
        return f" base_url has '/v1' twice. {instead(base.replace('/v1/v1', '/v1'))}"
    if path.startswith("/v1/"):
        return f" {path!r} is put to base_url, which ends in '/v1' already. {instead(base.removesuffix('/v1'))}" if base.endswith("/v1") else ""
    if VERSION.search(base) is None and "/openai/deployments" not in path:
        return f" Does base_url lack '/v1'? {instead(base.removesuffix('/api') + '/v1')}"
    return ""
