"""The local page of a session: served on this machine alone, read-only, live while a run goes on."""

from dreamframe.view.server import Server, serve

__all__ = ["Server", "serve"]
