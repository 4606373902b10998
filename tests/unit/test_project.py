"""The project's own rules: sizes, what an import costs, documentation that is complete, extras that exist."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement

import dreamframe as dr
from tests.lowest import lowest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "dreamframe"
EVERYWHERE = ("dreamframe", "tests", "examples", "benchmarks")
HEAVY = ("torch", "transformers", "trl", "datasets", "huggingface_hub", "openai", "anthropic", "mistralai", "aiohttp", "httpx", "pandas", "numpy")
HEAVY += ("pyarrow", "ray", "rich", "typer", "opentelemetry")
ALLOWED = {
    ("dreamframe/identity/expressions.py", "cloudpickle"),  # its `dumps` is replaced while polars hands over functions: nothing is serialised
    ("tests/faults/test_hostile_folders.py", "pickle"),  # a bomb to lay into a session folder: nothing of ours may open it
    ("tests/faults/hostile.py", "pickle"),  # and proof that the hook which watches for it sees one
    ("tests/faults/hostile.py", "exec"),
    *(("dreamframe/models/sandbox/inside.py", what) for what in ("exec", "compile")),  # stands in the process of a program alone: no module of ours imports it
    ("tests/golden/test_habits.py", "eval"),  # lines that users write, each a test of its own
    *(("tests/unit/frame/test_habits.py", what) for what in ("eval", "exec", "pickle")),  # code that messages tell; frames of its own making
    ("tests/unit/models/test_edges.py", "pickle"),  # a frame of its own making, as a process pool would hand it over
    ("tests/unit/plan/json/test_plan_json.py", "pickle"),  # a bomb inside an expression of a stranger's plan
}
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
APART = {"litellm", "ray", "vllm"}  # extras that `all` leaves out
UNPINNED = {"litellm", "vllm"}  # those of them whose libraries are not among the pins


def sources(*folders: str) -> list[Path]:
    found = [p for folder in folders for p in sorted((ROOT / folder).rglob("*.py"))]
    assert found
    return found


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_a_file_is_one_noun_and_a_function_fits_a_screen():
    """Past 400 lines it is two nouns, unless it holds nothing but data. The first line says what it is."""
    wrong: list[str] = []
    for path in sources(*EVERYWHERE):
        functions = [n for n in ast.walk(tree_of(path)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
        length = path.read_text().count("\n")
        wrong += [f"{named(path)}: {length} lines"] if length > 400 and functions else []
        wrong += [f"{named(path)}: {f.name} has {lines_of(f)} lines" for f in functions if lines_of(f) > 60]
        wrong += [f"{named(path)}: does not say what it is"] if length and not ast.get_docstring(tree_of(path)) else []
    assert wrong == []


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of code: a docstring may be as long as it must."""
    first = function.body[0]
    doc = first.end_lineno - first.lineno + 1 if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and first.end_lineno else 0
    return (function.end_lineno or 0) - function.lineno + 1 - doc


def test_nothing_is_unpickled_or_evaluated_and_no_error_is_swallowed_unseen():
    found = [(named(path), what) for path in sources(*EVERYWHERE) for node in ast.walk(tree_of(path)) for what in dangers(node)]
    assert [f for f in found if f not in ALLOWED] == []


def dangers(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [a.name for a in names if a.name.split(".")[0] in UNPICKLERS]
        case ast.ImportFrom(module=str(module)) if module.split(".")[0] in UNPICKLERS:
            return [module]
        case ast.Call(func=ast.Name(id="eval" | "exec" | "compile" as name)):
            return [name]
        case ast.keyword(arg="allow_pickle", value=ast.Constant(value=True)) | ast.keyword(arg="weights_only", value=ast.Constant(value=False)):
            return [str(node.arg)]
        case ast.ExceptHandler(type=None):
            return [f"bare except in line {node.lineno}"]
    return []


def test_weights_are_never_loaded_without_saying_whether_their_code_may_run():
    """Left unsaid, transformers asks whoever sits at the terminal, and believes a "y"."""
    calls = [(named(path), node) for path in sources("dreamframe") for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    assert [f"{name}:{call.lineno}" for name, call in calls if leaves_trust_unsaid(call)] == []


def leaves_trust_unsaid(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(attr="from_pretrained", value=ast.Name(id=name)) if name.lower().startswith("auto"):
            return not any(k.arg == "trust_remote_code" or (k.arg is None and ast.unparse(k.value) == "trust") for k in call.keywords)
    return False


PROBE = """
import json, sys, time
began = time.process_time()
import polars
polars_s = time.process_time() - began
import dreamframe
all_s, modules = time.process_time() - began, sorted(sys.modules)
for name in dir(dreamframe):
    getattr(dreamframe, name)
print(json.dumps({"modules": modules, "named": sorted(sys.modules), "polars_s": polars_s, "all_s": all_s}))
"""


@pytest.fixture(scope="module")
def imported() -> dict[str, Any]:
    """What `import dreamframe` does in a new process; the second of two runs, when everything is compiled and in the page cache."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, cwd=ROOT, env=env)
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("library", [*HEAVY, "ssl"])  # asyncio's, which is a fifth of the time
def test_importing_dreamframe_does_not_import(library: str, imported: dict[str, Any]):
    assert library not in imported["modules"]


@pytest.mark.parametrize("library", HEAVY)
def test_naming_models_and_trainers_does_not_import(library: str, imported: dict[str, Any]):
    """A library is imported by the functions that use it; so a plan that trains is built where it is not installed."""
    assert library not in imported["named"]


def test_importing_dreamframe_costs_little_more_than_polars(imported: dict[str, Any]):
    assert imported["all_s"] < 2.5 * imported["polars_s"], imported


def public(owner: ModuleType | type) -> list[tuple[str, Any]]:
    look = getattr if isinstance(owner, ModuleType) else inspect.getattr_static  # a property of a class is its documentation, not its value
    names = [(f"{owner.__name__}.{n}", look(owner, n)) for n in dir(owner) if not n.startswith("_")]
    plain = [(n, getattr(v, "__func__", v)) for n, v in names]
    return [(n, v) for n, v in plain if inspect.isfunction(v) or inspect.isclass(v) or isinstance(v, property)]


PUBLIC = dict([*public(dr), *public(dr.Frame), *public(dr.Session), *public(dr.Model), *public(dr.testing)])
PUBLIC = {n: v for n, v in PUBLIC.items() if isinstance(v, property) or v.__module__.startswith("dreamframe")}


def test_every_public_name_is_documented():
    docs = {name: inspect.getdoc(value) or "" for name, value in PUBLIC.items()}
    assert [n for n, doc in docs.items() if not doc or doc.startswith(f"{n.rpartition('.')[2]}(")] == []  # dataclasses write their signature


def test_every_public_function_and_verb_has_an_example_that_runs():
    names = [n for n in PUBLIC if n.startswith(("dreamframe.", "Frame.")) and not n.startswith("dreamframe.testing.")]
    assert [n for n in names if ">>> " not in (inspect.getdoc(PUBLIC[n]) or "")] == []


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins() -> dict[str, str]:
    lines = [line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    return {canonical(name): version for name, version in lines}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


EXTRAS: dict[str, list[str]] = pyproject()["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_is_installable_by_name(extra: str):
    assert canonical(extra) == extra
    for line in EXTRAS[extra]:
        wanted = Requirement(line)
        if wanted.name == "dreamframe":
            assert wanted.extras <= EXTRAS.keys()
        elif extra not in UNPINNED:
            assert wanted.specifier.contains(pins()[canonical(wanted.name)]), f"{line} is not what constraints.txt pins"


def test_all_has_every_extra_that_fits_together():
    (everything,) = EXTRAS["all"]
    assert Requirement(everything).extras == EXTRAS.keys() - APART - {"all", "dev", "docs"}


def test_the_base_install_is_pinned():
    for line in pyproject()["project"]["dependencies"]:
        wanted = Requirement(line)
        assert wanted.specifier.contains(pins()[canonical(wanted.name)]), line


def test_the_lowest_versions_are_the_lower_bounds():
    """Which `make lowest` installs."""
    wanted = {r.name: r.specifier for r in map(Requirement, pyproject()["project"]["dependencies"])}
    found = dict(line.split("==") for line in lowest())
    assert found.keys() == wanted.keys()
    assert {name: f">={version}" for name, version in found.items()} == {name: str(bound) for name, bound in wanted.items()}


def test_a_missing_extra_is_named_as_pyproject_names_it():
    nodes = [n for path in sources("dreamframe") for n in ast.walk(tree_of(path))]
    calls = [n for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func).endswith("MissingExtraError")]
    extras = {k.value.value for call in calls for k in call.keywords if k.arg == "extra" and isinstance(k.value, ast.Constant)} - {None}
    assert extras
    assert extras <= EXTRAS.keys()


def test_the_map_names_every_folder():
    shown_there = (ROOT / "CONTRIBUTING.md").read_text().partition("The map:\n")[2].partition("\n```\n\n")[0]
    folders = [p for p in [*PACKAGE.iterdir(), *(ROOT / "tests").iterdir(), *ROOT.iterdir()] if p.is_dir() and any(p.glob("*.*"))]
    shown = [p.name for p in folders if not p.name.startswith((".", "__"))]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    missing = [name for name in shown if f"{name}/" in tracked and f"{name}/" not in shown_there]
    assert missing == []


def test_the_documentation_tells_what_everything_of_the_top_level_is_for():
    """In a sentence or a table: what the reference makes of docstrings does not count."""
    lines = [line for page in sorted((ROOT / "docs").rglob("*.md")) for line in page.read_text().splitlines()]
    told = "\n".join(line for line in lines if not re.match(r"::: |    options:|      \w+:|#", line))
    assert [n for n in dir(dr) if not re.search(rf"\b{n}\b", told)] == []


def test_the_page_of_verbs_names_every_verb():
    page = (ROOT / "docs" / "reference" / "verbs.md").read_text()
    verbs = [n.removeprefix("Frame.") for n in PUBLIC if n.startswith("Frame.")]
    assert [v for v in verbs if not re.search(rf"\b{v}\b", page)] == []
