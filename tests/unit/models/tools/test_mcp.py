"""Servers of tools: started and at an address, by the protocol's own library on both sides."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import NotAllowedError, RunError, SettingError

ROOT = Path(__file__).resolve().parents[4]


def server(tmp_path: Path, **settings: Any) -> dr.Mcp:
    return dr.Mcp(command=[sys.executable, "-m", "tests.loopback.tool_server", str(tmp_path / "log")], env={"PYTHONPATH": str(ROOT)}, **settings)


def asks(messages: list[dict[str, Any]], tools: list[Any]) -> Any:
    """Calls what the user writes: `price {"item": "tea"}`."""
    if messages[-1]["role"] == "tool":
        return messages[-1]["content"]
    name, _, arguments = messages[-1]["content"].partition(" ")
    return {"tool_calls": [{"id": "c1", "function": {"name": name, "arguments": arguments}}]}


def said(q: list[str], tool: Any, **settings: Any) -> list[str]:
    made = dr.frame({"q": q}).converse(dr.FunctionLLM(asks), "{q}", tools=[tool], **settings).collect()
    return made["messages"].list.last().struct.field("content").to_list()


def log(tmp_path: Path) -> list[str]:
    return (tmp_path / "log").read_text().split("\n")[:-1]


def test_a_started_server_is_asked_what_it_offers_and_called(tmp_path: Path):
    two = ['price {"item": "tea"}', 'book {"item": "jam", "n": 2}']
    q = [*two, *two, 'price {"item": "x"}', 'book {"n": "y"}']
    with dr.Session(tmp_path / "s"):
        found = said(q, server(tmp_path, pure=["price"]))
    assert found[:4] == ["4.5", "booked 2 jam", "4.5", "booked 2 jam"]
    assert found[4].startswith("Error: Error executing tool price")
    assert found[5].startswith("Error: the arguments do not fit: "), "and the server does not hear of it"
    assert sorted(log(tmp_path)) == ["book jam 2", "book jam 2", "price tea", "price x"], "equal calls of a pure tool are one"
    with dr.Session(tmp_path / "s", offline=True):
        assert said(q, server(tmp_path, pure=["price"])) == found
    assert len(log(tmp_path)) == 4


def test_a_server_at_an_address_is_called_over_http(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = subprocess.Popen([sys.executable, "-m", "tests.loopback.tool_server", str(tmp_path / "log"), str(port)], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as there:
                if there.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        with dr.Session(None):
            assert said(['book {"item": "tea"}'], dr.Mcp(url=f"http://127.0.0.1:{port}/mcp", headers={"X-Who": "me"})) == ["booked 1 tea"]
    finally:
        running.kill()
        running.wait()


def test_a_server_that_goes_in_the_middle_of_a_call_is_a_failed_row_with_its_last_words(tmp_path: Path):
    with dr.Session(None):
        df = dr.frame({"q": ['book {"item": "the end"}']}).converse(dr.FunctionLLM(asks), "{q}", tools=[server(tmp_path)], on_error="null")
        assert df.collect()["messages"].to_list() == [None]
        (failure,) = df.failures()["message"].to_list()
    assert "turn 1, the tool 'book': " in failure
    assert "the server went while 'book' was called" in failure
    assert failure.endswith("the stock is empty")
    assert log(tmp_path) == ["book the end 1"], "whether it was booked nobody knows: it is not called a second time by itself"


def test_a_call_that_takes_too_long_is_a_result(tmp_path: Path):
    with dr.Session(None):
        assert said(['book {"item": "rest"}'], server(tmp_path, timeout_s=0.3)) == ["Error: TimeoutError: no result within 0.3 s"]


def test_a_server_that_cannot_be_started_says_why(tmp_path: Path):
    gone = dr.Mcp(command=[sys.executable, "-c", "raise SystemExit('no stock today')"])
    with dr.Session(None), pytest.raises(RunError, match=r"what the MCP server offers is not known: .*no stock today"):
        said(["price {}"], gone)


def test_a_tool_that_changed_since_it_was_told_of_is_not_called(tmp_path: Path):
    source = (ROOT / "tests/loopback/tool_server.py").read_text()
    own = tmp_path / "own.py"
    own.write_text(source)
    mine = dr.Mcp(command=[sys.executable, str(own), str(tmp_path / "log")])
    script = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
import dreamframe as dr
from tests.unit.models.tools.test_mcp import asks
mine = dr.Mcp(command=[sys.executable, {str(own)!r}, {str(tmp_path / "log")!r}])
with dr.Session({str(tmp_path / "s")!r}):
    dr.frame({{"q": ['price {{"item": "tea"}}']}}).converse(dr.FunctionLLM(asks), "{{q}}", tools=[mine]).collect()
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    own.write_text(source.replace("Book some items.", "Book anything."))
    with dr.Session(tmp_path / "s"):
        df = dr.frame({"q": ['price {"item": "tea"}', 'book {"item": "tea"}']}).converse(dr.FunctionLLM(asks), "{q}", tools=[mine], on_error="null")
        assert df.collect()["messages"].is_null().to_list() == [False, True]
        assert "'book' has changed since it was first asked what it offers. Give dr.Mcp(…, revision=…)" in df.failures()["message"][0]


def test_a_plan_that_was_read_starts_no_program(tmp_path: Path):
    told = dr.frame({"q": ['price {"item": "tea"}']}).converse(dr.testing.Echo(), "{q}", tools=[dr.Mcp(command="stock-server --all")]).to_json()
    assert json.loads(told)
    with dr.Session(None), pytest.raises(NotAllowedError, match=r"allow=.'stock-server --all'"):
        dr.from_json(told).collect()


NO_SERVERS = [{}, {"command": "a", "url": "http://x/mcp"}, {"command": ""}, {"url": "x/mcp"}, {"url": "http://x/mcp?key=s3"}, {"command": "a", "only": "b"}]


@pytest.mark.parametrize("given", NO_SERVERS)
def test_what_names_no_server_is_refused(given: dict[str, Any]):
    with pytest.raises(SettingError, match="Mcp"):
        dr.Mcp(**given)


def test_names_that_the_server_does_not_have_are_told(tmp_path: Path):
    with dr.Session(None), pytest.raises(SettingError, match="only= names 'cost', and the server has price, book"):
        said(["price {}"], server(tmp_path, only=["cost"]))


def test_variables_and_headers_stand_nowhere(tmp_path: Path):
    secret = "sk-9f8e7d6c5b4a3210"
    tool = dr.Mcp(url="http://127.0.0.1:9/mcp", headers={"Authorization": f"Bearer {secret}"})
    df = dr.frame({"q": ["x"]}).converse(dr.testing.Echo(), "{q}", tools=[tool])
    assert secret not in repr(tool) + df.explain() + df.to_json()
    assert pl.Series([tool.pool_key()]).str.contains(secret, literal=True).to_list() == [False]
