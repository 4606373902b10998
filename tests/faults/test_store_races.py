"""Two processes on one folder: whoever commits a step first wins, and all readers see its rows."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storing import opened, step_key

ROOT = Path(__file__).parents[2]
RACES = 300


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that is possible: hundreds of commits sync thousands of files."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as name:
        yield Path(name)


def tell(racer: subprocess.Popen[str], message: str) -> None:
    assert racer.stdin is not None
    racer.stdin.write(message)


def hear(racer: subprocess.Popen[str]) -> str:
    assert racer.stdout is not None
    return racer.stdout.readline().strip()


def play(racers: list[subprocess.Popen[str]], n: int) -> list[str]:
    """Let both commit at once; what each says of the rows."""
    for message in (f"{n}\n", "go\n"):
        for racer in racers:
            tell(racer, message)
        said = [hear(racer) for racer in racers]
    return said


def play_at_the_door(racers: list[subprocess.Popen[str]], n: int) -> list[str]:
    """Let both come as far as the rename, then go on one after the other."""
    for message, reply in ((f"{n}\n", "ready"), ("go\n", "at the door")):
        for racer in racers:
            tell(racer, message)
        assert [hear(racer) for racer in racers] == [reply, reply]
    said = []
    for racer in racers:
        tell(racer, "go\n")
        said.append(hear(racer))
    return said


def race(folder: Path, *, kind: str, same_name: bool, races: int = RACES) -> tuple[int, set[str]]:
    """How often two racers or a later reader disagreed, and who won at least once."""
    labels = {"one": "summary", "two": "summary" if same_name else "short"}
    racers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.racer", str(folder), label, said, kind],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for said, label in labels.items()
    ]
    seen = [play(racers, n) if kind == "Files" else play_at_the_door(racers[:: 1 if n % 2 else -1], n) for n in range(races)]
    for racer in racers:
        racer.communicate(timeout=60)
        assert racer.returncode == 0
    with opened(folder) as stores:
        assert stores.steps is not None
        for n, said in enumerate(seen):
            found = stores.steps.find(step_key(n))
            said.append("nothing" if found is None else found.rows()["text"][0])
    return sum(len(set(said)) > 1 for said in seen), {said[-1] for said in seen}


def test_readers_never_disagree_whatever_each_calls_the_step(folder: Path) -> None:
    disagreed, winners = race(folder, kind="Files", same_name=False)
    assert disagreed == 0
    assert winners == {"one 0", "two 0"}
    assert len(list((folder / "steps").iterdir())) == RACES


def test_under_one_label_the_rename_decides_without_any_lock(folder: Path) -> None:
    disagreed, winners = race(folder, kind="NoLocks", same_name=True)
    assert disagreed == 0
    assert winners == {"one 0", "two 0"}


@pytest.mark.parametrize(("kind", "same_name"), [("LastWins", True), ("NoLocks", False)], ids=["the last writer wins", "no lock over two labels"])
def test_without_protection_readers_disagree(folder: Path, kind: str, same_name: bool) -> None:
    disagreed, _ = race(folder, kind=kind, same_name=same_name, races=20)
    assert disagreed >= 10
