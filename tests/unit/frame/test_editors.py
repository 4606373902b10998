"""What editors tell: after any chain of three verbs jedi (IPython, Jupyter) offers every verb, and pyright (VS Code) knows the frame and every name on it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jedi
import pytest

import dreamframe as dr

ROOT = Path(dr.__file__).parents[1]
STARTS = ("dr.frame({'a': [1]})", "dr.scan_csv('rows.csv')", "dr.generate('openai/gpt-4o-mini', 'Hi', n=2)", "dr.grid({'a': [1]})", "dr.concat([dr.frame({})])")
GIVEN = "(*values, **named)"  # any arguments at all: what is asked is what a verb gives
THEN = {"group_by": f".group_by{GIVEN}.agg{GIVEN}", "split": f".split{GIVEN}['train']", "pipe": ".pipe(same)"}
PUBLIC = [name for name in dir(dr.Frame) if not name.startswith("_")]
ENDS = {  # what gives no frame, so that no verb comes after it
    *("agreement", "candidates", "card", "collect", "collect_async", "collect_batches", "collect_schema", "columns", "compare_models", "describe", "estimate"),
    *("evaluate", "explain", "failures", "lazy", "models", "preview", "push_to_hub", "retry", "schema", "show", "show_graph", "step", "train", "why"),
    *(name for name in PUBLIC if name.startswith(("sink_", "to_", "write_")) and name != "to_preferences"),
}


def verbs() -> dict[str, str]:
    """Every verb that gives a frame → how it is called."""
    return {name: THEN.get(name, f".{name}{GIVEN}") for name in PUBLIC if name not in ENDS}


def chains() -> list[str]:
    """Chains of three verbs that hold every verb: each of them must give a frame for the chain to end in one."""
    called = list(verbs().values())
    called += called[: -len(called) % 3]
    return [STARTS[i % len(STARTS)] + "".join(called[3 * i : 3 * i + 3]) for i in range(len(called) // 3)]


HEAD = """from typing import Any
import dreamframe as dr

def same(df: dr.Frame) -> dr.Frame:
    return df

values: list[Any] = []
named: dict[str, Any] = {}
"""


def test_the_chains_hold_every_verb_that_gives_a_frame():
    assert {"prompt", "filter", "group_by", "split", "with_columns", "pipe", "to_preferences"} <= set(verbs())
    assert len(verbs()) > 60
    assert [name for name, called in verbs().items() if not any(called in chain for chain in chains())] == []


def test_jedi_offers_every_name_after_any_three_verbs():
    project, written, missing = jedi.Project(ROOT, smart_sys_path=False, added_sys_path=[str(ROOT)]), chains(), {}
    for first in range(0, len(written), 16):  # jedi follows so many calls of a text and no more
        lines = [f"{chain}.columns" for chain in written[first : first + 16]]
        script = jedi.Script(HEAD + "\n".join(lines), path=str(ROOT / "typed.py"), project=project)
        for number, line in enumerate(lines, HEAD.count("\n") + 1):
            offered = {found.name for found in script.complete(number, len(line) - len("columns"))}
            missing |= {line: sorted(lacking)} if (lacking := set(PUBLIC) - offered) else {}
    assert missing == {}


@pytest.mark.skipif(shutil.which("node") is None, reason="pyright is a program of node, which is not installed")
def test_pyright_knows_the_frame_and_its_names_after_any_three_verbs(tmp_path: Path):
    written = chains()
    lines = [f"after{i} = {chain}; reveal_type(after{i})" for i, chain in enumerate(written)]
    names = [f"after0.{name}" for name in PUBLIC]  # the others are of the same type
    (tmp_path / "typed.py").write_text("\n".join([HEAD, *lines, *names, "after0.no_such_verb"]))
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT)], "reportUnusedExpression": "none", "reportUnusedCoroutine": "none"}))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(tmp_path)]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)["generalDiagnostics"]
    assert [d["message"].partition("\n")[0] for d in said if d["severity"] != "information"] == ['Cannot access attribute "no_such_verb" for class "Frame"']
    assert [d["message"].partition(" is ")[2] for d in said if d["severity"] == "information"] == ['"Frame"'] * len(written)
