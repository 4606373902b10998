"""The program that is killed: conversations with tools and a simulated user, into a session.

`python -m tests.faults.talked <url> <folder> <rows> [offline]`: a function and a tool of an MCP server write down each call.
"""

import os
import sys
from pathlib import Path

import dreamframe as dr

FOLDER = Path(sys.argv[2])


def book(item: str) -> str:
    """Book an item."""
    with (FOLDER / "booked").open("a") as file:
        file.write(f"{item}\n")
    return f"booked {item}"


def main() -> None:
    url, folder, n = sys.argv[1], FOLDER, int(sys.argv[3])
    llm, user = dr.OpenAI("assistant", base_url=url, concurrency=64), dr.OpenAI("user", base_url=url, concurrency=64)
    command = [sys.executable, "-m", "tests.loopback.tool_server", str(folder / "log")]
    tools = [dr.versioned(book, version=1), dr.Mcp(command=command, env={"PYTHONPATH": os.getcwd()}, only=["price"])]
    rows = dr.frame({"i": range(n)})
    df = rows.converse(llm, "Row {i}", user=user, tools=tools, max_turns=8)  # each answer of the user's is followed by a call, its result and an answer
    with dr.Session(folder / "session", progress=False, offline=sys.argv[4:] == ["offline"]):
        df.write_parquet(folder / "out.parquet")


if __name__ == "__main__":
    main()
