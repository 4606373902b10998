"""Who asks an API, within which limits, and what those a minute are called in session folders."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from dreamframe.identity.fingerprint import fingerprint
from dreamframe.models.base import Limits


def account_of(llm: Any) -> str:
    """Who asks, and where: with a digest of the secrets, since this text stands in tables that debuggers show."""
    headers = [(str(name), str(value)) for name, value in dict(llm.headers or {}).items()]
    plain = [None if text is None else str(text) for text in (llm.userinfo, llm.query)]
    secrets = fingerprint([*plain, str(llm.api_key or os.environ.get(llm.key_variable)), headers])
    return repr((llm.provider, str(llm.endpoint), secrets))


def limits_of(llm: Any) -> Limits:
    """The limits of settings of an API. The name of those a minute tells two accounts apart, and is too short to tell anybody what their keys are."""
    whose = repr((account_of(llm), llm.rpm, llm.tpm))
    name = hashlib.sha256(whose.encode()).hexdigest()[:4] if llm.rpm or llm.tpm else None
    return Limits(llm.timeout_s, llm.attempts, llm.backoff_s, llm.rpm, llm.tpm, name)
