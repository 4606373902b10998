"""What goes wrong between here and a server, in the words that users of aiohttp know: each becomes a CallError where it is told of."""

from __future__ import annotations


class NotAnAddressError(ValueError):
    """A text that nothing can be sent to."""


class TooMuchError(ValueError):
    """A reply of more bytes than the caller takes."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class UnreadableError(ValueError):
    """What came is not HTTP, or never ends."""


class ServerDisconnectedError(ConnectionError):
    """The server closed the connection before it said a word."""


class ClientPayloadError(ConnectionError):
    """The connection ended within the reply."""


class ClientConnectorError(ConnectionError):
    """Nobody is there."""


class ClientConnectorDNSError(ClientConnectorError):
    """The name of the server is not known."""


class ClientConnectorSSLError(ClientConnectorError):
    """The connection could not be made safe. `os_error` is what the TLS library says."""

    def __init__(self, said: str, os_error: Exception) -> None:
        super().__init__(said)
        self.os_error = os_error


class ConnectionTimeoutError(ConnectionError):
    """No connection came about in time."""
