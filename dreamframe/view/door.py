"""Who may see the page: whoever was given its address, from this machine, and no page of anybody else."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
OWN = ("same-origin", "none")  # what a browser says of a request that no other page made


@dataclass(frozen=True)
class Door:
    """The address of a page: the port, and the token that is the first part of every path."""

    port: int
    token: str

    @property
    def address(self) -> str:
        """The address to open."""
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def refusal(self, path: str, headers: Mapping[str, str | None]) -> str | None:
        """Why a request is not answered: "host", "origin", "site" or "token"; None for one that is. `headers` are by small names."""
        hosts = {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}
        host, origin = headers.get("host"), headers.get("origin")
        if host not in hosts:  # a name that a stranger's page made to point here
            return "host"
        if origin is not None and origin not in {f"http://{h}" for h in hosts}:
            return "origin"
        is_opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"  # a link, in a notebook say
        if (headers.get("sec-fetch-site") or "none") not in OWN and not is_opened:
            return "site"
        given = path.split("/")[1] if path.startswith("/") else ""
        return None if hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode()) else "token"
