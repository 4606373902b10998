"""The certificates that servers are trusted by: the system's, and those that the environment names."""

from __future__ import annotations

import functools
import os
import ssl

from dreamframe.errors import SettingError

BY_OPENSSL = ("SSL_CERT_FILE", "SSL_CERT_DIR")
BY_OTHERS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
NAMES = f"{BY_OPENSSL[0]}=/path/to/ca.pem ({BY_OPENSSL[1]}, {' and '.join(BY_OTHERS)} are read too)"
HOSTNAME_MISMATCH, IP_MISMATCH, EXPIRED, NOT_YET = 62, 64, 10, 9  # OpenSSL's verify codes


@functools.cache
def default_context() -> ssl.SSLContext:
    """The context that trusts the system's certificates: one for the process, since reading them takes a while."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def named_context(*addresses: str | None) -> ssl.SSLContext | None:
    """A context that trusts the system's certificates, or those of SSL_CERT_FILE and SSL_CERT_DIR instead, and those of REQUESTS_CA_BUNDLE and
    CURL_CA_BUNDLE too. None where the environment names nothing, or none of the addresses is https: the library's own will do.

    Raises SettingError for a path with no certificate.
    """
    named = {name: path for name in (*BY_OPENSSL, *BY_OTHERS) if (path := os.environ.get(name, "").strip())}
    if not named or not any(address is not None and address.lower().startswith("https:") for address in addresses):
        return None
    context = ssl.create_default_context()  # OpenSSL reads the first two itself, and says nothing of what it cannot read
    for name, path in named.items():
        there = [part for part in (path.split(os.pathsep) if name == "SSL_CERT_DIR" else [path]) if os.path.exists(part)]
        if not there:
            raise SettingError(f"{name}={path!r}: there is no such file or folder. It names the certificates that servers are trusted by.")
        for part in there:
            _load(context, name, part)
    return context


def _load(context: ssl.SSLContext, name: str, path: str) -> None:
    try:
        context.load_verify_locations(**({"capath": path} if os.path.isdir(path) else {"cafile": path}))
    except (ssl.SSLError, OSError) as exc:
        raise SettingError(f"{name}={path!r} holds no certificate that can be read: {exc}. Give a file in PEM format.") from exc


def untrusted(error: ssl.SSLError) -> str:
    """What to say of a certificate that was refused."""
    said = str(getattr(error, "verify_message", "")) or str(error)
    code = getattr(error, "verify_code", 0)
    told = f"the server's certificate is not trusted: {said.rstrip('.')}."
    if code in (HOSTNAME_MISMATCH, IP_MISMATCH):
        return f"{told} Ask it by the name that its certificate is for."
    if code in (EXPIRED, NOT_YET):
        return f"{told} The server needs a new one, or this machine's clock is wrong."
    return f"{told} If it is signed by an authority of your own, name that authority's file: {NAMES}."
