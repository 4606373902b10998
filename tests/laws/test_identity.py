"""Laws of identity, for every step: equal plans have equal keys in any process, hashed fields change them, runtime fields never do."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
from dataclasses import fields, replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dreamframe.plan.steps
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.identity.whose_code import recorded
from dreamframe.models.authority import Authority
from dreamframe.plan.step import Step
from dreamframe.plan.steps.run_code import RunCode
from dreamframe.plan.steps.source import LeftOut
from tests.laws import checks
from tests.laws.cases import CASES, LLM, ROWS, Case, all_cases, scan, table, train


def left_out() -> Case:
    """Rows that a plan names by their key, and that it does not hold: no law of running is for them."""
    changes = {"name": "other", "columns": (("t", pl.String()),), "n_rows": 9, "kept_key": "1" * 32}
    return Case(lambda _: LeftOut(columns=tuple(ROWS.schema.items()), n_rows=4, kept_key="0" * 32), changes)


OWN = {"Scan": scan, "Train": train, "LeftOut": left_out, "RunCode": lambda: Case(*checks.run_code())}
CONTENT = {("Table", "data"), ("ReadTable", "data"), ("HubTable", "data"), ("Scan", "paths")}  # the key sees what is there, not where it lies


def case_of(name: str) -> Case:
    return OWN[name]() if name in OWN else CASES[name]


def fields_of(name: str) -> dict[str, bool]:
    """Field → whether it is hashed, of a step that needs no file."""
    own = {"Scan": dreamframe.plan.steps.source.Scan, "Train": dreamframe.plan.steps.train.Train, "LeftOut": LeftOut, "RunCode": RunCode}
    kind = own.get(name) or type(CASES[name].over(table()))
    return {f.name: not f.metadata.get("runtime") for f in fields(kind) if f.name != "inputs"}


EVERY_FIELD = [(name, field, hashed) for name in [*CASES, *OWN] for field, hashed in fields_of(name).items()]


def concrete_steps() -> list[str]:
    modules = [importlib.import_module(f"dreamframe.plan.steps.{m.name}") for m in pkgutil.iter_modules(dreamframe.plan.steps.__path__)]
    found = {c for m in modules for c in vars(m).values() if inspect.isclass(c) and issubclass(c, Step) and c.__module__ == m.__name__}
    return sorted({recorded(c).__name__ for c in found if not inspect.isabstract(c) and not c.__subclasses__()})


NEVER = {"PromptUntilRight": {"probability"}}  # a field that no such step has


def test_every_step_has_a_case():
    assert [name for name in concrete_steps() if name not in [*CASES, *OWN]] == []


@pytest.mark.parametrize("name", [*OWN, *(n for n in CASES if " " not in n)])
def test_every_field_of_a_step_has_another_value_to_try(name: str):
    assert set(case_of(name).changes) == set(fields_of(name)) - NEVER.get(name, set())


@pytest.mark.parametrize(("name", "field", "hashed"), EVERY_FIELD, ids=[f"{n}.{f}" for n, f, _ in EVERY_FIELD])
def test_hashed_fields_change_the_key_and_runtime_fields_do_not(name: str, field: str, hashed: bool):
    case = case_of(name)
    if field not in case.changes:  # a further example of a step whose fields were all tried
        assert " " in name or field in NEVER[name]
        return
    before, after = case.over(table()), case.changed(field)
    assert (before.key({}) != after.key({})) == hashed


@pytest.mark.parametrize("name", [*CASES, *OWN])
def test_the_same_step_made_again_has_the_same_key(name: str):
    assert case_of(name).over(table()).key({}) == case_of(name).over(table()).key({})


@pytest.mark.parametrize("name", [n for n in [*CASES, "Train"] if n not in ("Table", "ReadTable", "HubTable", "HubStream", "KeptScan")])
def test_other_rows_below_change_the_key(name: str):
    other = table(ROWS.with_columns(v=pl.col("v") + 1))
    assert case_of(name).over(table()).key({}) != case_of(name).over(other).key({})


def test_other_rows_change_the_key_of_a_table_and_of_a_file():
    other = table(ROWS.head(2))
    assert table().key({}) != other.key({})
    scanned = scan().over(table())
    before = scanned.key({})
    ROWS.head(2).write_csv("rows.csv")
    assert scanned.key({}) != before


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_keys_are_the_same_in_another_process_with_another_hash_seed(seed: str):
    own = {name: case.over(table()).key({}) for name, case in all_cases().items()}
    env = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-m", "tests.laws.keys"], env=env, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == own


@pytest.mark.parametrize("field", [f.name for f in fields(LLM)])
def test_steering_a_model_changes_no_key(field: str):
    changes = {
        "model": "other", "tone": "warm", "system": "Be brief.", "max_tokens": 7, "temperature": 0.1, "top_p": 0.5, "stop": ("x",), "seed": 3,
        "logit_bias": {"a": 1}, "presence_penalty": 0.1, "frequency_penalty": 0.2, "extra": {"k": 1},
        "authority": Authority(), "concurrency": 3, "latency_s": 0.5, "log": None, "refuses": str.isupper,
    }  # fmt: skip
    hashed = not {f.name: f for f in fields(LLM)}[field].metadata.get("runtime")
    other = replace(LLM, **{field: changes[field]})
    assert (fingerprint(other) != fingerprint(LLM)) == hashed


@given(cut=st.integers(0, ROWS.height))
def test_how_rows_are_chunked_is_no_part_of_their_identity(cut: int):
    chunked = pl.concat([ROWS.head(cut), ROWS.tail(ROWS.height - cut)], rechunk=False)
    assert table(chunked).key({}) == table().key({})
