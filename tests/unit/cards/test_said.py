"""What cards say besides the steps: own statements, how models were asked, what to cite, what wrote the rows, how to use it."""

from __future__ import annotations

import ast
import inspect
import platform
import re
from pathlib import Path

import polars as pl
import pytest
import yaml

import dreamframe as dr
from dreamframe.cards.lineage import lineage
from dreamframe.cards.markdown import scrub
from dreamframe.errors import SettingError
from dreamframe.models.papers import PAPERS, bibtex
from dreamframe.models.readme import licence_in

ROWS = {"topic": ["tea", "rain"], "style": ["short", "long"]}
ECHO = dr.testing.Echo()


def front(card: str) -> dict[str, object]:
    return dict(yaml.safe_load(card.split("---\n")[1]))


def test_a_source_has_the_licence_name_and_citation_that_its_owner_gives_it(session: dr.Session, tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("topic\ntea\n")
    for source in (dr.frame({"topic": ["tea"]}), dr.scan_csv(tmp_path / "own.csv")):
        cited = source.cite(license="CC-BY-4.0", citation="@misc{teas, title={Teas}}", url="https://teas.invalid", name="All teas")
        card = cited.card("me/teas")
        assert front(card)["license"] == "cc-by-4.0"
        assert "| dataset | All teas | cc-by-4.0 | <https://teas.invalid> |" in card
        assert "```bibtex\n@misc{teas, title={Teas}}\n```" in card
        assert "no licence on record" not in card
        assert cited.step.key({}) == source.step.key({})
        assert cited.explain() == source.explain()


def test_made_rows_have_the_licence_that_their_maker_says_until_a_model_is_asked_again(session: dr.Session) -> None:
    made = dr.frame(ROWS).cite(license="mit").prompt(dr.OpenAI("gpt-4o"), "{topic}", into="said").cite(license="odc-by", citation="https://paper.invalid")
    assert front(made.card())["license"] == front(made.head(1).select("said").card())["license"] == "odc-by"
    assert "restrict training" in made.card(), "what stands against it is named all the same"
    assert "license" not in front(made.prompt(ECHO, "{said}", into="more").card())
    assert front(made.cite(license="My Own Terms").card())["license_name"] == "my-own-terms"
    technique = dr.frame(ROWS).map(lambda row: {"n": 1}, schema={"n": pl.Int64}, name="count").cite(citation="@misc{count, title={Count}}")
    assert "| technique | count |" in technique.card()
    model = made.train(dr.SFT("gpt2", steps=1), prompt="topic", completion="said")
    assert front(model.cite(license="apache-2.0").card("me/m"))["license"] == "apache-2.0"
    assert model.cite(license="apache-2.0").step.key({}) == model.step.key({})


def test_cited_rows_are_read_from_where_they_ran_and_asked_once(tmp_path: Path) -> None:
    df = dr.frame(ROWS).prompt(ECHO, "{topic}", into="said")
    with dr.Session(tmp_path) as session:
        df.collect()
        assert df.cite(license="mit").collect().equals(df.collect())
        assert session.usage()["calls"] == 2
    with pytest.warns(UserWarning, match="where it ran last"):
        assert df.cite(license="mit").collect().height == 2
    assert dict(dr.from_json(df.cite(license="mit", name="x").to_json()).step.cited) == {"license": "mit", "name": "x"}
    assert "cited" not in df.to_json()


@pytest.mark.parametrize("said", [{}, {"license": " "}, {"citation": 3}], ids=str)
def test_a_statement_that_says_nothing_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(SettingError, match="cite: "):
        dr.frame(ROWS).cite(**said)  # type: ignore[arg-type]


def test_the_sampling_of_every_model_is_on_the_card_and_no_secret(session: dr.Session) -> None:
    llm = dr.OpenAI("gpt-4o", temperature=0.73, max_tokens=77, seed=5, api_key="k3y-of-mine", extra={"password": "hunter-two", "top_k": 3})
    card = dr.frame(ROWS).prompt(llm, "{topic}", into="said", temperature=0.2, n=3).embed(dr.MiniLM(), "topic").card()
    row = next(line for line in card.splitlines() if line.startswith("| `said` | `gpt-4o`"))
    for told in ("`temperature=0.2`", "`max_tokens=77`", "`seed=5`", "`n=3`", "top_k"):
        assert told in row
    assert "hunter-two" not in card
    assert "k3y-of-mine" not in card
    tuned = dr.frame(ROWS).prompt(dr.Transformers("org/m", quantization="4bit", dtype="bfloat16"), "{topic}").card()
    assert "`quantization='4bit'`, `dtype='bfloat16'`" in tuned


def test_versions_name_python_and_what_wrote_the_rows(tmp_path: Path) -> None:
    def versions(frame: dr.Frame) -> str:
        return next(line for line in frame.card().splitlines() if line.startswith("Versions: "))

    with dr.Session(tmp_path) as session:
        small = versions(dr.frame(ROWS).prompt(dr.SmolLM2(), "{topic}"))
        assert f"Python {platform.python_version()}" in small
        assert "xllamacpp" in small
        assert "torch" not in small
        assert "torch" in versions(dr.frame(ROWS).prompt(dr.Transformers("org/m"), "{topic}"))
        assert "httptools" in versions(dr.frame(ROWS).prompt(dr.OpenAI("m"), "{topic}"))
        ran = dr.frame(ROWS).prompt(ECHO, "{topic}")
        ran.collect()
        plans = session.stores.plans
        (path,) = (tmp_path / "plans").glob("*.json")
        record = plans.all()[0]
        path.unlink()
        plans.keep(record["label"], record["key"], {**{k: v for k, v in record.items() if k not in ("name", "sum")}, "python": "3.11.1"})
        assert "Python 3.11.1" in versions(ran), "as they were when the plan ran"


def test_every_paper_that_is_cited_has_its_bibtex() -> None:
    package = Path(inspect.getfile(dr)).parent
    found = {a for f in package.rglob("*.py") for line in f.read_text().splitlines() if "cites" in line for a in re.findall(r"https://[^\s\"]+", line)}
    assert len(found) > 15
    assert [a for a in found if bibtex(a) is None] == []
    keys = [re.match(r"@misc\{(\w+),", str(bibtex(number)))[1] for number in PAPERS]  # type: ignore[index]
    assert len(set(keys)) == len(keys)


def test_combinations_of_attributes_cite_their_paper(session: dr.Session) -> None:
    llm, both = ECHO, "A {style} text on {topic}."
    crossed = dr.frame({"topic": ["tea"]}).join(dr.frame({"style": ["short", "long"]}), how="cross")
    for frame in (dr.grid(ROWS), dr.grid(ROWS).repeat_to(9), crossed):
        assert any(p.name.startswith("AttrPrompt") for p in lineage(frame.prompt(llm, both).step))
    for plain in (dr.frame(ROWS).prompt(llm, both), dr.grid(ROWS).prompt(llm, "{topic}"), dr.generate(llm, "A text.", n=3)):
        assert not any(p.name.startswith("AttrPrompt") for p in lineage(plain.step))


def test_a_plain_table_is_not_said_to_be_planned(session: dr.Session, tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("a\n1\n")
    card = dr.scan_csv(tmp_path / "own.csv").filter(pl.col("a") > 0).card()
    assert "## How it was made" in card
    assert "\nRows of 1 column, made with" in card
    assert "## How it will be made" in dr.frame(ROWS).prompt(ECHO, "{topic}").card()


@pytest.mark.parametrize(
    ("trainer", "columns", "plain", "ours"),
    [
        (dr.SFT("org/base", steps=1), {"prompt": "topic", "completion": "style"}, 'pipeline("text-generation", model="me/m")', 'dr.Transformers("me/m")'),
        (dr.SFT("org/base", steps=1, peft={"r": 2}), {"prompt": "topic", "completion": "style"}, "PeftModel.from_pretrained(", 'adapter="me/m"'),
        (dr.Classifier("org/base", steps=1), {"text": "topic", "label": "style"}, "AutoModelForSequenceClassification", 'dr.HFClassifier("me/m")'),
        (dr.SentenceTransformerTrainer("org/base", steps=1), {"anchor": "topic", "positive": "style"}, "from sentence_transformers", "dr.SentenceTransformer("),
    ],
    ids=lambda v: getattr(v, "label", None),
)
def test_a_model_is_used_with_the_common_libraries_and_with_dreamframe(
    session: dr.Session, trainer: object, columns: dict[str, str], plain: str, ours: str
) -> None:
    card = dr.frame(ROWS).train(trainer, **columns).card("me/m")
    snippets = re.findall(r"```python\n(.*?)```", card.split("## Training")[0], re.DOTALL)
    assert plain in snippets[0]
    assert ours in snippets[1]
    assert "dreamframe" not in snippets[0]
    for code in snippets:
        ast.parse(code)


def test_weights_speak_for_themselves_wherever_they_lie(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--micro" / "snapshots" / ("a" * 40)
    for folder in (tmp_path / "micro", snapshot):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "README.md").write_text("---\nlicense: other\nlicense_name: Micro-Terms\n---\n```bibtex\n@misc{micro}\n```\n")
    (own,) = dr.Transformers(str(tmp_path / "micro")).provenance()
    assert (own.name, own.license, own.citation) == ("micro", "other (micro-terms)", "@misc{micro}")
    (cached,) = dr.LlamaCpp(str(snapshot / "m.gguf")).provenance()
    assert (cached.name, cached.revision, cached.url) == ("org/micro", "a" * 40, "https://huggingface.co/org/micro")
    distilled = lineage(dr.frame(ROWS).train(dr.Distill("org/student", teacher=str(tmp_path / "micro")), prompt="topic").step)
    assert [p.name for p in distilled if p.license == "other (micro-terms)"] == ["micro"]
    both = dr.Transformers("meta-llama/Llama-3.1-8B-Instruct", adapter="me/adapter").provenance()
    assert [(p.name, p.license) for p in both] == [("meta-llama/Llama-3.1-8B-Instruct", "llama3.1"), ("me/adapter", None)]


def test_several_licences_of_one_source_stay_a_list(session: dr.Session) -> None:
    assert licence_in("---\nlicense: [mit, apache-2.0]\n---\n") == "mit, apache-2.0"
    assert front(dr.frame(ROWS).cite(license="mit, apache-2.0").card())["license"] == ["mit", "apache-2.0"]


@pytest.mark.parametrize("folder", ["/home/ann", "/dev/shm/pytest-0", "/scratch/ann", "/run/user/1000", "/gpfs/lab/ann", "/workspace", "/kaggle/working"])
def test_a_folder_of_a_machine_is_left_out_of_what_is_shared(folder: str) -> None:
    assert scrub(f"read {folder}/notes/rows.csv, and go on") == "read rows.csv, and go on"
    assert scrub("https://example.org/scratch/rows.csv and a/scratch/b") == "https://example.org/scratch/rows.csv and a/scratch/b"
