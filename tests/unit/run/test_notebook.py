"""What is shown in a notebook, and what on a terminal."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

import dreamframe as dr


def test_a_terminal_has_the_text(capsys: pytest.CaptureFixture[str]):
    dr.frame({"t": ["tea"]}).show()
    out = capsys.readouterr().out
    assert "│ tea │" in out
    assert "<" not in out


def test_jupyter_has_the_page_and_the_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    shown: list[dict[str, str]] = []
    display = ModuleType("IPython.display")
    vars(display).update(display=lambda data, *, raw: shown.append(data) if raw else None)
    for name, module in {"ipykernel": ModuleType("ipykernel"), "IPython": ModuleType("IPython"), "IPython.display": display}.items():
        monkeypatch.setitem(sys.modules, name, module)
    with dr.Session(None, progress=False):
        dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said").show()
    assert '<td class="model"><pre>tea</pre></td>' in shown[0]["text/html"]
    assert "│ tea ┆ tea  │" in shown[0]["text/plain"]
    assert capsys.readouterr().out == ""


def test_marimo_has_the_page_where_a_notebook_of_its_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    shown: list[str] = []
    marimo = ModuleType("marimo")
    vars(marimo).update(running_in_notebook=lambda: runs, Html=str, output=SimpleNamespace(append=shown.append))
    monkeypatch.setitem(sys.modules, "marimo", marimo)
    runs = False
    dr.frame({"t": ["tea"]}).show()
    assert shown == []
    assert "tea" in capsys.readouterr().out
    runs = True
    dr.frame({"t": ["tea"]}).show()
    assert "<td><pre>tea</pre></td>" in shown[0]
