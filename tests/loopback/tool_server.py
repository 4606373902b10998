"""An MCP server by the protocol's own library: two tools, whose calls it writes down. `python -m tests.loopback.tool_server <log> [port]`."""

import os
import sys
import time
from pathlib import Path

from mcp.server.mcpserver import MCPServer

LOG = Path(sys.argv[1])
server = MCPServer("stock", log_level="ERROR")


def put_down(line: str) -> None:
    with LOG.open("a") as file:
        file.write(f"{line}\n")


@server.tool()
def price(item: str) -> float:
    """What an item costs."""
    put_down(f"price {item}")
    return {"tea": 4.5}[item]


@server.tool()
def book(item: str, n: int = 1) -> str:
    """Book some items."""
    put_down(f"book {item} {n}")
    if item == "the end":
        print("the stock is empty", file=sys.stderr, flush=True)
        os._exit(3)
    if item == "rest":
        time.sleep(5)
    return f"booked {n} {item}"


if __name__ == "__main__":
    if len(sys.argv) > 2:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
    else:
        server.run()
