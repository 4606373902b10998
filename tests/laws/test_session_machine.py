"""A session over any sequence of edits, damage and second openings: rows equal recomputation, and calls never exceed what a plain set says is unknown."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

import dreamframe as dr
from dreamframe.errors import BadRequestError, RowsFailedError
from dreamframe.testing import Failing

WORDS = ["tea", "rain", "bern", "kite", "moss"]


def helper(step: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A user's function whose meaning is in a captured value."""

    def shifted(row: dict[str, Any]) -> dict[str, Any]:
        return {"number": row["id"] * 10 + step}

    return shifted


class Sessions(RuleBasedStateMachine):
    """`known` is the model: the prompts whose answers must be in the folder, by the file that holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.known: dict[str, set[str]] = {}  # answer file → prompts

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @initialize()
    def first(self) -> None:
        self.texts, self.wording, self.step = ["tea", "rain", "tea"], 0, 0

    # The program under edit

    def prompts(self) -> list[list[str]]:
        """What each of the two prompt steps asks for each row."""
        first = [f"v{self.wording}: {t} {i * 10 + self.step}" for i, t in enumerate(self.texts)]
        return [first, [f"And {p}" for p in first]]

    def plan(self, llm: Failing) -> dr.Frame:
        df = dr.frame({"id": range(len(self.texts)), "text": pl.Series(self.texts, dtype=pl.String)})
        df = df.map(helper(self.step), schema={"number": pl.Int64})
        return df.prompt(llm, f"v{self.wording}: {{text}} {{number}}", into="a").filter(pl.col("a").str.len_chars() > 0).prompt(llm, "And {a}", into="b")

    def run(self, session: dr.Session, llm: Failing) -> None:
        first, second = self.prompts()
        rows = self.plan(llm).collect()
        assert rows["a"].to_list() == first
        assert rows["b"].to_list() == second

    def answer_files(self) -> list[str]:
        return sorted(p.name for p in self.folder.glob("answers/*.answers"))

    def noted(self, before: list[str], llm: Failing, *, answered: Callable[[str], bool] = lambda _: True) -> None:
        """The model's side of a run: calls within the unknown, and what was asked is known from now on, in the file that is new."""
        unknown = {p for step in self.prompts() for p in step} - set().union(*self.known.values())
        assert len(llm.prompts) == len(set(llm.prompts)), "a prompt was paid twice in one run"
        assert set(llm.prompts) <= unknown, "a known answer was paid again"
        new = [name for name in self.answer_files() if name not in before]
        asked = {p for p in llm.prompts if answered(p)}
        assert new or not asked, "answers were paid for and written nowhere"
        if asked:
            self.known.setdefault(new[-1], set()).update(asked)
        self.found_again()

    def found_again(self) -> None:
        """Journals may have been merged: what the gone ones held is in the one that is new."""
        files = self.answer_files()
        gone = [name for name in self.known if name not in files]
        moved = set().union(*(self.known.pop(name) for name in gone))
        new = [name for name in files if name not in self.known]
        if moved:
            assert new, "answers went with their journal"
            self.known.setdefault(new[-1], set()).update(moved)

    # What happens to it

    @rule(wording=st.integers(0, 2))
    def edit_a_step(self, wording: int) -> None:
        self.wording = wording
        self.run_it()

    @rule(step=st.integers(0, 2))
    def edit_a_helper(self, step: int) -> None:
        self.step = step
        self.run_it()

    @rule(at=st.integers(0, 7), word=st.sampled_from(WORDS))
    def change_a_row(self, at: int, word: str) -> None:
        self.texts[at % len(self.texts)] = word
        self.run_it()

    @rule(word=st.sampled_from(WORDS))
    def add_a_row(self, word: str) -> None:
        if len(self.texts) < 8:
            self.texts.append(word)

    @rule()
    def drop_a_row(self) -> None:
        if len(self.texts) > 1:
            self.texts.pop()

    @rule()
    def run_it(self) -> None:
        before, llm = self.answer_files(), Failing(model="m", when=lambda _: False)
        with quiet(), dr.Session(self.folder) as session:
            self.run(session, llm)
        self.noted(before, llm)

    @rule(word=st.sampled_from(WORDS))
    def run_it_with_failing_rows(self, word: str) -> None:
        before, llm = self.answer_files(), Failing(model="m", when=lambda p: word in p, error=BadRequestError("no"))
        failures: list[dict[str, object]] = []
        with quiet(), dr.Session(self.folder) as session:
            try:
                self.run(session, llm)
            except RowsFailedError as exc:
                failures = exc.failures
        assert all(word in str(f["request"]) for f in failures)
        assert not failures or word in " ".join(self.texts)
        self.noted(before, llm, answered=lambda p: word not in p)

    @rule()
    def run_it_in_two_sessions_at_once(self) -> None:
        before = self.answer_files()
        one, two = (Failing(model="m", when=lambda _: False) for _ in range(2))
        with quiet(), dr.Session(self.folder) as first:
            self.run(first, one)
            with dr.Session(self.folder) as second:
                self.run(second, two)
            assert two.calls == 0, "the second paid for what the first had written"
            self.run(first, one)
        self.noted(before, one)

    @rule(which=st.integers(0, 99), at=st.floats(0, 1), bit=st.integers(0, 7))
    def flip_a_bit(self, which: int, at: float, bit: int) -> None:
        if file := self.some_file(which):
            held = bytearray(file.read_bytes())
            held[min(len(held) - 1, int(at * len(held)))] ^= 1 << bit
            file.write_bytes(held)
            self.known.pop(file.name, None)

    @rule(which=st.integers(0, 99), at=st.floats(0, 1))
    def cut_a_file(self, which: int, at: float) -> None:
        """As a kill or a power cut leaves it."""
        if file := self.some_file(which):
            held = file.read_bytes()
            file.write_bytes(held[: int(at * len(held))])
            self.known.pop(file.name, None)

    @rule(which=st.integers(0, 99))
    def delete_a_file(self, which: int) -> None:
        if file := self.some_file(which):
            file.unlink()
            self.known.pop(file.name, None)

    @rule(keeping=st.booleans())
    def remove_what_nobody_needs(self, keeping: bool) -> None:
        """Answers stay, whatever goes: the next run asks nothing that is known."""
        with quiet(), dr.Session(self.folder) as session:
            session.gc(keep=[self.plan(Failing(model="m", when=lambda _: False))] if keeping else None)
        self.found_again()

    @rule(which=st.integers(0, 99))
    def delete_a_step(self, which: int) -> None:
        if steps := sorted(self.folder.glob("steps/*")):
            shutil.rmtree(steps[which % len(steps)])

    def some_file(self, which: int) -> Path | None:
        files = sorted(p for p in self.folder.rglob("*") if p.is_file() and p.stat().st_size and p.name != "session.json")
        return files[which % len(files)] if files else None


class quiet(warnings.catch_warnings):
    """Damage is reported as a warning; other tests look at its text."""

    def __enter__(self) -> Any:
        found = super().__enter__()
        warnings.simplefilter("ignore")
        return found


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
