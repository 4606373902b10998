"""The floor plan of the package: rooms in a strict order, every import points down, and no circle, over all imports: late ones and type checkers' too."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "dreamframe"
ROOMS = (  # from the ground up: a module imports from its own room, or from one before it
    *("redaction", "names", "errors", "measure", "identity", "store", "models", "testing", "prompts"),
    *("hub", "trainers", "plan", "run", "cards", "frame", "session", "recipes", "view"),
)
MOST_ROOMS = 18
MOST_LATE = 90
FLOOR = {room: floor for floor, room in enumerate(ROOMS)}
TOP = {"__init__", "__main__"}  # may import all of it


class Import(NamedTuple):
    """One import of a module of ours by another."""

    by: str  # "run.calls.queue"
    of: str
    line: int
    is_late: bool  # inside a function


def modules(package: Path) -> dict[str, Path]:
    """Name without the package → file; the file of a package is its `__init__`."""
    return {".".join(p.relative_to(package).with_suffix("").parts): p for p in sorted(package.rglob("*.py"))}


def imports(package: Path) -> list[Import]:
    """All imports of own modules, wherever they stand."""
    ours = modules(package)
    return [found for name, path in ours.items() for found in _imports_of(name, ast.parse(path.read_text()), ours, package.name, is_late=False)]


def _imports_of(name: str, node: ast.AST, ours: Mapping[str, Path], package: str, *, is_late: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            wanted = [a.name for a in child.names]
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{name}, line {child.lineno}: imports are absolute"
            wanted = [f"{child.module}.{a.name}" for a in child.names]
        else:
            yield from _imports_of(name, child, ours, package, is_late=is_late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))
            continue
        yield from (Import(name, _module(text, ours), child.lineno, is_late) for text in wanted if text.split(".")[0] == package)


def _module(dotted: str, ours: Mapping[str, Path]) -> str:
    """The module that a name is found in: itself, the package's, or the one that holds it."""
    parts = dotted.split(".")[1:]
    while parts:
        for candidate in (".".join(parts), ".".join([*parts, "__init__"])):
            if candidate in ours:
                return candidate
        parts.pop()
    return "__init__"


def room(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def upward(found: Iterable[Import]) -> list[str]:
    """Imports from a room above, or from a room that has no place yet."""
    inner = [i for i in found if room(i.by) not in TOP]
    return [f"{i.by}:{i.line} imports {i.of}" for i in inner if FLOOR.get(room(i.of), len(ROOMS)) > FLOOR.get(room(i.by), -1)]


def circle(found: Iterable[Import]) -> list[str]:
    """A circle of modules, if there is one. A package's own `__init__` runs before anything in it, and imports nothing of ours but the top's."""
    graph: dict[str, set[str]] = {}
    for i in found:
        graph.setdefault(i.by, set()).add(i.of)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        return list(exc.args[1])
    return []


@pytest.fixture(scope="module")
def found() -> list[Import]:
    return imports(PACKAGE)


def test_every_import_points_down(found: list[Import]):
    """A module in a room that has no place yet: say in ROOMS where it stands."""
    assert upward(found) == []


def test_no_modules_import_each_other_in_a_circle(found: list[Import]):
    assert circle(found) == []


def test_the_rooms_are_few_and_all_of_them_exist():
    there = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p.is_dir() and any(p.glob("*.py")))} - TOP
    assert there == set(ROOMS)
    assert len(there) <= MOST_ROOMS


def test_half_of_all_files_are_short():
    assert median(p.read_text().count("\n") for p in modules(PACKAGE).values()) <= 130


@pytest.mark.parametrize(
    "planted",
    [
        "def late():\n    from dreamframe.session.session import Session\n    return Session\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dreamframe.frame.frame import Frame\n",
        "import dreamframe.run.execute\n",
        "def late():\n    from dreamframe import recipes\n    return recipes\n",
        "def late():\n    import dreamframe\n    return dreamframe.Session\n",
    ],
    ids=["late", "for types", "whole module", "package", "top"],
)
def test_an_import_upwards_is_found_wherever_it_is_planted(planted: str, tmp_path: Path):
    house = tmp_path / "dreamframe"
    for name in ("", "session", "frame", "run", "store", "recipes"):
        (house / name).mkdir(exist_ok=True)
        (house / name / "__init__.py").touch()
    for name in ("session/session", "frame/frame", "run/execute", "store/files"):
        (house / f"{name}.py").touch()
    assert upward(imports(house)) == []
    (house / "store" / "files.py").write_text(planted)
    assert len(upward(imports(house))) == 1


def test_a_circle_is_found_even_of_late_imports(tmp_path: Path):
    house = tmp_path / "dreamframe"
    (house / "run").mkdir(parents=True)
    for name in ("__init__", "run/__init__"):
        (house / f"{name}.py").touch()
    (house / "run" / "a.py").write_text("from dreamframe.run.b import x\n")
    (house / "run" / "b.py").write_text("def x():\n    from dreamframe.run import a\n    return a\n")
    assert set(circle(imports(house))) == {"run.a", "run.b"}


def test_late_imports_grow_no_more(found: list[Import]):
    """None breaks a circle. 10 defer files that need a library as they are imported (torch, transformers, pyarrow): engines of models, the callback of a
    training, hashes of texts. 43 defer what verbs for few plans need, which explain, draw, estimate, evaluate, tune, shard, compare, certify and converse, and
    20 what is read, kept, merged or given away as JSON, cards, archives and data sets of the Hub. 8 defer the engine and the stores, which building a plan does
    not need, models of this process, and what a run that finds everything does not need: buckets, records, ledgers and the drawing of progress.
    A new one that defers none of these belongs to the top of its file."""
    assert len([i for i in found if i.is_late]) <= MOST_LATE
