"""Recipes: what they keep, what they drop, and that a second run asks nothing."""

from __future__ import annotations

import inspect
import itertools
import json
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe import recipes
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.prompts.base import Template
from dreamframe.recipes.evolve import WAYS, drawn_number
from dreamframe.testing import Scripted

SEEDS = {"instruction": ["Name a tea.", "Describe rain.", "Add two numbers."], "id": [1, 2, 3]}


def evolving(prompt: str) -> str:
    """Makes "Name a tea" grow, refuses rain, and repeats numbers; a judge finds only what did not grow the same."""
    if prompt.startswith("Do these two"):
        first, second = prompt.partition("First: ")[2].split("\n\nSecond: ")
        return "yes" if second.startswith("Sum up") else str({False: "No.", True: "Yes, they do."}[first.strip(".") == second.strip(".")])
    now = prompt.partition("Instruction: ")[2]
    return {"Describe rain.": "Sorry, I cannot.", "Add two numbers.": "Sum up two numbers."}.get(now, f"{now} And say why.")


def test_evolution_goes_on_from_what_it_kept_and_drops_refusals_and_repetitions(tmp_path: Path):
    llm = Scripted(evolving)
    with dr.Session(tmp_path):
        df = recipes.evolve(dr.frame(SEEDS), llm, rounds=2)
        rows = df.to_dicts()
    assert [(r["id"], r["evolved"], r["round"]) for r in rows] == [(1, "Name a tea. And say why.", 1), (1, "Name a tea. And say why. And say why.", 2)]
    assert all(r["way"] in WAYS for r in rows)
    assert df.schema["evolved"] == pl.String
    with dr.Session(tmp_path) as session:
        assert recipes.evolve(dr.frame(SEEDS), llm, rounds=2).to_dicts() == rows
        assert session.usage()["calls"] == 0


def test_evolution_asks_each_request_once_though_two_branches_need_it(session: dr.Session):
    llm = Scripted(evolving, temperature=0.9)
    recipes.evolve(dr.frame(SEEDS), llm, rounds=3).collect()
    asked = [p for p in llm.prompts if p.startswith(tuple(WAYS.values()))]
    assert len(asked) == len(set(asked)) == 3 * 3  # what failed is tried in another way
    assert session.usage()["calls"] == llm.calls == len(asked) + 3 + 1  # what was refused is not judged, and nothing twice


def test_what_talks_about_its_task_is_dropped(session: dr.Session):
    for said in ("Here is the new instruction: dance.", "As an AI I refuse.", " \n", "Name a tea."):
        llm = Scripted(lambda p, said=said: "no" if p.startswith("Do these") else said)
        assert recipes.evolve(dr.frame(SEEDS).head(1), llm).to_dicts() == []


def test_ways_are_drawn_evenly_and_by_the_seed():
    rows = pl.DataFrame({"__row": pl.int_range(6000, eager=True).cast(pl.UInt32)})
    drawn = [rows.select(drawn_number(6, seed=seed).alias("n"))["n"] for seed in range(4)]
    for one in drawn:
        assert one.value_counts()["count"].min() > 900
        assert 900 < (one == one.shift(1)).sum() < 1100  # a sixth: a row tells nothing of the next
    assert all(900 < (a == b).sum() < 1100 for a, b in itertools.combinations(drawn, 2))


def test_draws_are_arithmetic_modulo_two_to_the_64():
    """Pinned by a second way of computing them."""
    key, found = int(fingerprint(("drawn number", 5))[:16], 16) | 1, []
    for row in range(20):
        x = y = row * key % 2**64
        for add in (y, y + key, y):
            x = (x * x + add) % 2**64
            x = x >> 32 | x << 32 & (2**64 - 1)
        found.append(((x * x + y + key) % 2**64 >> 32) % 7)
    rows = pl.DataFrame({"__row": range(20)}, schema={"__row": pl.UInt32})
    assert rows.select(drawn_number(7, seed=5).alias("n"))["n"].to_list() == found


def test_one_way_is_the_only_one(session: dr.Session):
    llm = Scripted(evolving)
    assert recipes.evolve(dr.frame(SEEDS), llm, ways=["broaden"]).collect()["way"].to_list() == ["broaden"]
    assert sum(p.startswith(WAYS["broaden"]) for p in llm.prompts) == 3


def test_a_judge_may_be_another_model(session: dr.Session):
    llm, judge = Scripted(evolving), Scripted(evolving, model="judge")
    recipes.evolve(dr.frame(SEEDS), llm, judge=judge).collect()
    assert (llm.calls, judge.calls) == (3, 2)


LISTS = (
    "1. Write a poem about tea.\n2) Explain how boats float\n- Sum up a long story.\n\n3. Tea",
    "Write a poem about the tea\n* Draw a map of your town.\n4. Plan a week of meals.",
)


def test_self_instruct_grows_the_pool_by_what_is_new_and_can_be_done_in_writing(tmp_path: Path):
    llm = Scripted(lambda p: LISTS["float" in p] if p.startswith("Below are") else f"Answer to: {p}")
    numbers = ["two", "three", "four", "five", "six"]
    seeds = dr.frame({"instruction": ["Sum up a story.", "Translate a sentence to French.", *(f"Give {n} examples." for n in numbers)]})
    with dr.Session(tmp_path):
        df = recipes.self_instruct(seeds, llm, rounds=3, prompts=6, shown=3, seed=1)
        rows = df.to_dicts()
    assert [(r["instruction"], r["round"]) for r in rows][:2] == [("Write a poem about tea.", 1), ("Explain how boats float", 1)]
    assert "Plan a week of meals." in [r["instruction"] for r in rows if r["round"] > 1]  # from a prompt that showed what a round before made
    assert len(rows) == len({r["instruction"] for r in rows}) <= 4
    assert all(r["output"] == f"Answer to: {r['instruction']}" for r in rows)
    asked = [p for p in llm.prompts if p.startswith("Below are")]
    assert len(asked) == 3 * 6
    assert all(p.count("\n- ") == 3 for p in asked)
    with dr.Session(tmp_path) as session:
        assert recipes.self_instruct(seeds, llm, rounds=3, prompts=6, shown=3, seed=1).to_dicts() == rows
        assert session.usage()["calls"] == 0


def test_backtranslation_keeps_what_the_judge_gives_the_points(session: dr.Session):
    points = {"good": 5, "fair": 3}
    judge = Scripted(lambda p: json.dumps({"answer": points[p.rpartition("Text: ")[2]]}), model="judge")
    df = dr.frame({"text": ["good", "fair", None]})
    llm = Scripted(lambda p: "Say " + p.rpartition("Text: ")[2])
    assert recipes.backtranslate(df, llm, judge=judge).to_dicts() == [{"text": "good", "instruction": "Say good", "fit": 5}]
    assert recipes.backtranslate(df, llm, judge=judge, threshold=3).collect().height == 2
    assert recipes.backtranslate(df, llm, judge=judge, threshold=None).columns == ["text", "instruction"]
    assert (llm.calls, judge.calls) == (2, 2)


def test_a_decomposition_is_a_list_within_its_bounds(session: dr.Session):
    said = {"long": ["a?", "b?", "c?"], "short": ["a?"]}
    llm = Scripted(lambda p: json.dumps({"answer": said[p.rpartition("Question: ")[2]]}))
    df = dr.frame({"question": ["long", "short"]})
    steps = recipes.decompose(df, llm, most=3, repairs=0, on_error="null")
    assert steps.schema["steps"] == pl.List(pl.String)
    assert steps.collect()["steps"].to_list() == [["a?", "b?", "c?"], None]
    assert steps.failures()["error"].to_list() == ["ParseError"]
    assert steps.explode("steps").collect().height == 4


def test_wrong_recipes_fail_where_they_are_written():
    df, llm = dr.frame(SEEDS), dr.testing.Echo()
    for wrong, says in (
        (lambda: recipes.evolve(df, llm, rounds=0), "rounds=0"),
        (lambda: recipes.evolve(df, llm, ways=["deepn"]), "no way 'deepn'. Did you mean 'deepen'"),
        (lambda: recipes.evolve(df, llm, ways=[]), "one or more of constrain"),
        (lambda: recipes.evolve(df, llm, "instructions"), "Did you mean 'instruction'"),
        (lambda: recipes.self_instruct(df, llm, "instructions"), "self_instruct: no column 'instructions'"),
        (lambda: recipes.self_instruct(df, llm, shown=0), "shown=0"),
        (lambda: recipes.backtranslate(df, llm, "text"), "no column 'text'"),
        (lambda: recipes.backtranslate(df, llm, "instruction", threshold=9), "threshold=9"),
        (lambda: recipes.decompose(df, llm, "instruction", least=3, most=2), "least=3 and most=2"),
    ):
        with pytest.raises(dr.errors.PlanError, match=says):
            wrong()


@pytest.mark.parametrize("name", recipes.__all__)
def test_a_recipe_is_built_of_verbs_and_its_prompts_cite_its_paper(name: str):
    recipe = getattr(recipes, name)
    source = Path(inspect.getfile(recipe)).read_text()
    assert "dreamframe.run" not in source
    assert "dreamframe.plan.steps" not in source
    columns = ["instruction"] if name in ("evolve", "self_instruct") else ["text", "question"]
    step = recipe(dr.frame({c: ["x"] for c in columns}), dr.testing.Echo()).step
    cites = {c for s in step.walk() if isinstance(s, PromptStep) and type(s.prompt) is not Template for c in s.prompt.cites}
    assert cites
    assert all(c in inspect.getdoc(recipe) for c in cites)
