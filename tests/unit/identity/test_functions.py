"""Fingerprints of functions: each case before and after its edit, in two fresh processes with other hash seeds and in other folders.

The cases are small projects in edits/: `=== name` starts one, `--- file.py` a further file of it, `«before → after»` is the edit. The value that is
fingerprinted is VALUE. Edits in same.txt must hit, those in refused.txt have no identity (`:: word of the error`), all others must miss.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from dreamframe.identity.fingerprint import fingerprint

ROOT = Path(__file__).resolve().parents[3]
EDITS = Path(__file__).with_name("edits")
EDIT = re.compile(r"«(.*?)\s*→\s?(.*?)»", re.DOTALL)
FILE = re.compile(r"^--- (\S+)\n?", re.MULTILINE)

# Prints the fingerprint of VALUE of each project, or the error. Each has the modules that it imports to itself.
RUNNER = """
import importlib, json, sys
from dreamframe.errors import FingerprintError
from dreamframe.identity.fingerprint import fingerprint

sys.dont_write_bytecode = True
found = {}
for name, folder in json.load(sys.stdin):
    known = set(sys.modules)
    shadowed = {n: sys.modules.pop(n) for n in ("profile",) if n in sys.modules}
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        found[name] = fingerprint(importlib.import_module("plan").VALUE)
    except FingerprintError as exc:
        found[name] = f"refused: {exc}"
    except Exception as exc:
        found[name] = f"broken: {type(exc).__name__}: {exc}"
    sys.path.remove(folder)
    for module in set(sys.modules) - known:
        if (getattr(sys.modules[module], "__file__", None) or "").startswith(folder):
            del sys.modules[module]
    sys.modules.update(shadowed)
print(json.dumps(found))
"""


def versions(source: str) -> tuple[str, str]:
    """The source before and after its edit."""
    return EDIT.sub(lambda m: m.group(1), source), EDIT.sub(lambda m: m.group(2), source)


def written(source: str, folder: Path) -> str:
    """Write a project: plan.py and its further files."""
    names = ["plan.py", *FILE.findall(source)]
    for name, text in zip(names, FILE.split(source)[::2], strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.strip("\n") + "\n")
    return str(folder)


def start(projects: list[tuple[str, str]], seed: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", RUNNER], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(projects))
    process.stdin.close()
    return process


def ended(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    text = process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0
    return dict(json.loads(text))


def cases(*names: str) -> dict[str, str]:
    """Case → source, of some files."""
    texts = [t for name in names for t in (EDITS / f"{name}.txt").read_text().removeprefix("=== ").split("\n\n=== ")]
    found = dict(t.split("\n", 1) for t in texts)
    assert len(found) == len(texts), "two cases have one name"
    return found


SAME = cases("same")
DIFFERENT = cases("functions", "imports", "classes", "types", "values", "polars")
REFUSED = {name.split(" :: ")[0]: (source, name.split(" :: ")[1]) for name, source in cases("refused").items()}
SOURCES = {**{f"same {n}": s for n, s in SAME.items()}, **{f"different {n}": s for n, s in DIFFERENT.items()}}
SOURCES |= {f"refused {n}": s for n, (s, _) in REFUSED.items()}


@pytest.fixture(scope="module")
def prints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Case → print: before the edit, before it again (elsewhere, in the other order, with another seed), and after it."""
    here, elsewhere = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("elsewhere") / "deeper" / "still"
    numbered = list(enumerate(SOURCES.items()))
    before = [(name, written(versions(source)[0], here / f"before{i}")) for i, (name, source) in numbered]
    again = [(name, written(versions(source)[0], elsewhere / f"again{i}")) for i, (name, source) in numbered[::-1]]
    after = [(name, written(versions(source)[1], elsewhere / f"after{i}")) for i, (name, source) in numbered]
    first, second = start(before, "1"), start(again, "22")
    found = {"before": ended(first), "again": ended(second)}
    return {**found, "after": ended(start(after, "333"))}


def is_print(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{32}", text) is not None


@pytest.mark.parametrize("case", SAME)
def test_what_changes_nothing_hits(case: str, prints: dict[str, dict[str, str]]):
    before, after = (prints[when][f"same {case}"] for when in ("before", "after"))
    assert is_print(before), before
    assert before == after


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_changes_something_misses(case: str, prints: dict[str, dict[str, str]]):
    before, after = (prints[when][f"different {case}"] for when in ("before", "after"))
    assert is_print(before), before
    assert is_print(after), after
    assert before != after


@pytest.mark.parametrize("case", [*(f"same {n}" for n in SAME), *(f"different {n}" for n in DIFFERENT)])
def test_another_process_hash_seed_and_folder_hit(case: str, prints: dict[str, dict[str, str]]):
    assert prints["before"][case] == prints["again"][case]


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_seen_is_refused_with_the_place_and_the_way_out(case: str, prints: dict[str, dict[str, str]]):
    seen = prints["before"][f"refused {case}"]
    assert seen.startswith("refused: "), seen
    assert REFUSED[case][1] in seen
    assert "dr.versioned(" in seen or "has no identity that" not in seen


SCRIPT = """
import enum, sys
from dataclasses import dataclass, field
from dreamframe.identity.fingerprint import fingerprint

class Kind(enum.Enum):
    A = 1
    def shown(self): return "«a → b»"

@dataclass
class Config:
    k: list = field(default_factory=lambda: [«1 → 2»])

class Add:
    def __call__(self, x): return x + «1 → 2»

def helper(x): return x + «1 → 2»
def unedited(x): return [i for i in x if i]
def many(x): return helper(x)
add = Add()

if __name__ == "__main__":
    for value in (unedited, lambda x: Kind.A.shown(), Config, lambda x: Config().k, add, helper, many, Add.__call__, add.__call__):
        print(fingerprint(value))
"""


def test_functions_of_the_script_itself_are_followed(tmp_path: Path):
    found = []
    for folder, source in zip(("one", "two"), versions(SCRIPT), strict=True):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "script.py").write_text(source)
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "1" if folder == "one" else "2"}
        done = subprocess.run([sys.executable, tmp_path / folder / "script.py"], env=env, capture_output=True, text=True, check=True)
        found.append(done.stdout.split())
    assert [a == b for a, b in zip(*found, strict=True)] == [True] + [False] * 8


VERSIONED = """
import dreamframe as dr
from dreamframe.identity.fingerprint import fingerprint

def clean(row): return row
def printed(): return fingerprint(dr.versioned(clean, version=1))

if __name__ == "__main__":
    print(printed())
"""


def test_a_versioned_function_goes_by_its_script_run_or_imported(tmp_path: Path):
    for name in ("one", "other"):
        (tmp_path / f"{name}.py").write_text(VERSIONED)
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    ways = ([str(tmp_path / "one.py")], ["-m", "one"], ["-c", "import one; print(one.printed())"], [str(tmp_path / "other.py")])
    run, as_module, imported, other = (subprocess.run([sys.executable, *w], env=env, capture_output=True, text=True, check=True).stdout for w in ways)
    assert is_print(run.strip())
    assert run == as_module == imported
    assert run != other


def test_a_fingerprint_is_fast():
    def outer(rows: list[int], k: int = 3) -> list[int]:
        return [is_print(str(i)) + k for i in rows]

    fingerprint(outer)
    began = time.process_time()
    for _ in range(50):
        fingerprint(outer)
    assert time.process_time() - began < 50 * 3e-3  # seconds; 0.3 ms each on a quiet machine


def test_taking_functions_out_of_polars_expressions_leaves_other_threads_alone():
    expr = pl.col("a").map_batches(lambda s: s)
    serialiser = importlib.import_module("pickle")
    original, done, wrong = serialiser.dumps, threading.Event(), []

    def elsewhere() -> None:
        while not done.is_set():
            if serialiser.dumps([1]) != original([1]):
                wrong.append(1)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    prints = {fingerprint(expr) for _ in range(200)}
    done.set()
    thread.join()
    assert (len(prints), wrong, serialiser.dumps is original) == (1, [], True)
