"""df.evaluate: a report that is kept, replayed, gated, and told on cards and in diffs."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import ColumnNotFoundError, FingerprintError, GateError, RowsFailedError, RunError, SettingError
from dreamframe.frame.evaluating import evaluation
from dreamframe.models.request import RowContext
from dreamframe.plan.step import TableStep, step
from dreamframe.testing import Echo
from dreamframe.trainers.base import Trainer
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.roles import TEXT, Roles

TEXTS = ["good", "bad", "good day", "bad day", "bad"]
GOLD = ["good", "bad", "bad", "bad", "good"]
ACCURACY = dr.metrics.accuracy("mood", "gold")
SCRIPT = """
import dreamframe as dr
with dr.Session("kept"{offline}):
    moods = dr.frame({{"t": ["good", "bad"], "gold": ["good", "good"], "lang": ["en", "de"]}}).prompt(dr.testing.Echo(), "{{t}}", into="mood")
    report = moods.evaluate(dr.metrics.accuracy("mood", "gold"), by="lang")
    print(report.get("accuracy", "lang=en").value)
    report.gate("accuracy >= 0.9 in every slice")
    print("not reached")
"""


def moods(llm: Echo, **settings: Any) -> dr.Frame:
    rows = dr.frame({"t": TEXTS * 4, "gold": GOLD * 4, "lang": ["en", "de", "de", "fr", "en"] * 4})
    return rows.prompt(llm, "{t}", into="mood", on_error="null", **settings).prompt(llm, "Unread {t}", into="unread")


def test_the_script_of_a_demanding_user(tmp_path: Path):
    llm = Echo()
    labels = moods(llm, schema=["good", "bad"], repairs=0)
    with dr.Session(tmp_path / "s"):
        report = labels.evaluate(ACCURACY, f1=dr.metrics.f1("mood", "gold", average="macro"), by="lang")
    asked = llm.calls
    assert asked == 20, "the column that no metric reads is not asked for"
    assert report["accuracy"].value == 8 / 20
    assert (report["accuracy"].n, report["accuracy"].n_missing) == (20, 8)
    assert "8 without a prediction count as wrong" in report["accuracy"].note
    assert [f.slice for f in report][::2] == ["all rows", "lang=en", "lang=de", "lang=fr"]
    assert report.get("accuracy", "lang=fr").note == "few rows; 4 without a prediction count as wrong"
    with pytest.raises(GateError, match=r"in lang=fr accuracy is 0\.00 \(0\.00 to 0\.490, n = 4\)"):
        report.gate("accuracy >= 0.3 in every slice")
    with dr.Session(tmp_path / "s", offline=True):
        again = moods(Echo(), schema=["good", "bad"], repairs=0).evaluate(ACCURACY, f1=dr.metrics.f1("mood", "gold", average="macro"), by="lang")
    assert again == report
    assert llm.calls == asked


def test_rows_that_may_not_fail_raise_as_collect_does(session: dr.Session):
    rows = dr.frame({"t": ["x"], "gold": ["x"]}).prompt(dr.testing.Failing(), "{t}", into="mood")
    with pytest.raises(RowsFailedError):
        rows.evaluate(ACCURACY)


def test_a_gate_that_fails_ends_a_script_with_exit_code_1_offline_too(tmp_path: Path):
    for is_offline in (False, True):
        script = SCRIPT.format(offline=", offline=True" if is_offline else "")
        ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 1
        assert ran.stdout == "1.0\n"
        said = "gate: accuracy >= 0.9 in every slice fails: of all rows accuracy is 0.500 (0.0945 to 0.905, n = 2); accuracy >= 0.9 in every slice fails: "
        assert ran.stderr.splitlines()[-1] == f"dreamframe.errors.GateError: {said}in lang=de accuracy is 0.00 (0.00 to 0.793, n = 1)"


def test_a_report_stands_on_the_card_of_its_rows_and_in_the_diff(tmp_path: Path):
    with dr.Session(tmp_path / "before") as before:
        moods(Echo(), schema=["good", "bad"], repairs=0).evaluate(ACCURACY, by="lang", name="moods")
    with dr.Session(tmp_path / "after") as after:
        labels = moods(Echo(), system="Be brief.").with_columns(mood=pl.col("gold"))
        labels.evaluate(ACCURACY, by="lang", name="moods")
        card = labels.card()
        assert "evaluation" not in dr.frame({"a": [1]}).card().lower()
    assert "## Evaluation\n\n`moods`:" in card
    assert "| lang=en | `accuracy` | 1.00 | 0.676 to 1.00 | 8 | few rows |" in card
    found = after.diff(before)
    assert found.metrics.filter(metric="accuracy in lang=fr").rows() == [("moods", "accuracy in lang=fr", 0.0, 1.0)]
    assert "moods accuracy: 0.4 → 1" in repr(found)
    assert not after.diff(after).metrics.height


@dataclass(frozen=True)
class Counter(Trainer):
    """Trains nothing."""

    ways: ClassVar[tuple[Roles, ...]] = (Roles({"text": TEXT}),)

    def run(self, job: TrainJob) -> dict[str, Any]:
        (job.out / "count.txt").write_text("1")
        return {"n_rows": 1}


@step
class Asked(TableStep):
    """What a trained model says of a table: that all is good."""

    is_expensive: ClassVar[bool] = True

    def output_schema(self) -> pl.Schema:
        return pl.Schema({**self.inputs[0].schema, "mood": pl.String})

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:
        return tables[0].with_columns(mood=pl.lit("good"))


def test_a_report_stands_on_the_card_of_the_model_that_made_the_predictions(tmp_path: Path):
    model = dr.frame({"text": ["a"]}).train(Counter("gpt2"))
    other = dr.frame({"text": ["b"]}).train(Counter("gpt2"))
    with dr.Session(tmp_path / "s"):
        said = dr.Frame(Asked(inputs=(dr.frame({"gold": GOLD}).step, model.step)))
        said.evaluate(ACCURACY, name="held out")
        other.fit()
        assert "## Evaluation\n\n`held out`:" in model.card()
        assert "Evaluation" not in other.card()
    with dr.Session(tmp_path / "s"):
        assert "`held out`:" in model.card(), "it is on record, whoever asks"


def test_an_evaluation_is_a_plan_that_goes_through_json(tmp_path: Path):
    frame = moods(Echo())
    metrics = [ACCURACY, dr.metrics.f1("mood", "gold", average="macro", labels=["good", "bad"]), dr.metrics.mean(pl.col("mood").str.len_chars())]
    with dr.Session(tmp_path / "s"):
        report = frame.evaluate(*metrics, by="lang")
    with dr.Session(tmp_path / "s", offline=True) as session:
        kept = session.plan("evaluate")
        assert isinstance(kept, dr.Frame)
        assert kept.collect()["value"].to_list() == [f.value for f in report]
        assert dr.from_json(kept.to_json()).step.key({}) == kept.step.key({})


def test_figures_are_told_by_the_log_of_the_run(tmp_path: Path):
    with dr.Session(tmp_path / "s") as session:
        watched = session.follow()
        moods(Echo()).evaluate(ACCURACY)
        (line,) = [line for line in watched.news() if line["event"] == "report"]
    assert line["label"] == "evaluate"
    assert line["figures"][0]["value"] == 8 / 20
    assert "evaluate" in [s.label for s in session.steps()]


def test_a_report_is_a_value(session: dr.Session):
    report = dr.frame({"mood": TEXTS, "gold": GOLD}).evaluate(ACCURACY)
    assert copy.deepcopy(report) == report
    assert json.loads(report.to_json()) == report.as_dict()
    assert report.to_frame()["value"].to_list() == [0.4]
    assert len(report) == 1
    with pytest.raises(AttributeError):
        report.name = "other"  # type: ignore[misc]
    assert "<table>" in report._repr_html_()
    assert "<script>" not in dr.frame({"mood": TEXTS, "gold": GOLD, "k": ["<script>"] * 5}).evaluate(ACCURACY, by="k")._repr_html_()


def test_a_report_says_which_figure_or_slice_it_has_not(session: dr.Session):
    report = dr.frame({"mood": TEXTS, "gold": GOLD}).evaluate(ACCURACY)
    with pytest.raises(SettingError, match=r"no figure 'acuracy' in this report; it has 'accuracy'\. Did you mean 'accuracy'"):
        report["acuracy"]
    with pytest.raises(SettingError, match="no slice 'de' in this report; it has 'all rows'"):
        report.get("accuracy", "de")


def test_slices_are_of_each_combination_in_order_of_appearance(session: dr.Session):
    rows = dr.frame({"mood": TEXTS, "gold": GOLD, "k": ["x", None, "x", "y", None], "n": [1, 1, 2, 1, 1]})
    report = rows.evaluate(ACCURACY, by=["k", "n"])
    assert [f.slice for f in report] == ["all rows", "k=x, n=1", "k=null, n=1", "k=x, n=2", "k=y, n=1"]
    assert [f.rows for f in report] == [5, 1, 2, 1, 1]


def test_no_rows_make_a_report_without_figures(session: dr.Session):
    report = dr.frame({"mood": TEXTS, "gold": GOLD, "k": TEXTS}).filter(pl.col("mood") == "none").evaluate(ACCURACY, by="k")
    assert [(f.value, f.note) for f in report] == [(None, "no rows")]
    with pytest.raises(GateError, match="accuracy is not defined"):
        report.gate("accuracy >= 0")


def test_a_function_of_ones_own_is_a_metric_keyed_by_its_code(session: dr.Session):
    def share(row: dict[str, Any]) -> float:
        return len(row["mood"]) / 10

    def frame() -> dr.Frame:
        return dr.frame({"mood": TEXTS, "gold": GOLD})

    assert frame().evaluate(share=share)["share"].value == pytest.approx(0.5)
    settings: Any = {"by": None, "seed": 0, "draws": 10, "confidence": 0.95, "name": None}
    keys = {evaluation(frame(), (), {"share": fn}, **settings).key({}) for fn in (share, lambda row: 1, dr.metrics.function(share))}
    assert len(keys) == 3
    with pytest.raises(FingerprintError):
        frame().evaluate(share=lambda row: __import__("os").getpid())


@pytest.mark.parametrize(
    ("metrics", "named", "settings", "error", "said"),
    [
        ((), {}, {}, SettingError, "evaluate: no metric is given; write df.evaluate"),
        (("accuracy",), {}, {}, SettingError, "evaluate: 'accuracy' is not a metric; write df.evaluate"),
        ((ACCURACY, ACCURACY), {}, {}, SettingError, "two metrics are called 'accuracy'; name one of them: accuracy_2=accuracy"),
        ((dr.metrics.accuracy("mod", "gold"),), {}, {}, ColumnNotFoundError, "evaluate: no column 'mod'; the frame has 'mood', 'gold'. Did you mean 'mood'"),
        ((ACCURACY,), {}, {"by": "lang"}, ColumnNotFoundError, "evaluate: no column 'lang'"),
        ((ACCURACY,), {}, {"confidence": 95}, SettingError, "confidence=95.0 must be above 0 and below 1"),
        ((ACCURACY,), {}, {"draws": 1}, SettingError, "an interval needs many resamples"),
        ((dr.metrics.mean_absolute_error("mood", "gold"),), {}, {}, dr.errors.SchemaError, "'mood' is String, not numbers; cast it first"),
        ((dr.metrics.f1("mood", "gold"),), {}, {"name": "held out"}, SettingError, "held out: f1: 'gold' is String, and one of its labels is to be"),
    ],
)
def test_what_cannot_be_evaluated_is_said_before_anything_is_asked(metrics: Any, named: Any, settings: Any, error: type[Exception], said: str):
    llm = Echo()
    rows = dr.frame({"t": TEXTS, "gold": GOLD}).prompt(llm, "{t}", into="mood").select("mood", "gold")
    with pytest.raises(error) as found:
        rows.evaluate(*metrics, **named, **settings)
    assert said in str(found.value)
    assert llm.calls == 0


@pytest.mark.parametrize(
    ("named", "said"),
    [
        pytest.param({"level": 0.9}, "level=0.9 is not a metric, and no argument of the verb: did you mean confidence=", id="an argument of another library"),
        pytest.param({"mine": "accuracy"}, "mine='accuracy' is not a metric, and no argument of the verb (by, seed, ", id="a name"),
    ],
)
def test_a_keyword_that_is_no_metric_is_taken_for_an_argument(named: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError) as raised:
        dr.frame({"a": [1]}).evaluate(**named)
    assert said in str(raised.value)


def test_what_a_function_of_the_user_raises_names_the_evaluation_and_the_columns(session: dr.Session) -> None:
    with pytest.raises(RunError, match=r'evaluate: .*raised ColumnNotFoundError: "nope" not found.* 1 rows with the columns .a.; one of each row is '):
        dr.frame({"a": [1]}).evaluate(mine=dr.metrics.function(lambda rows: rows["nope"].sum()))


@pytest.mark.parametrize(
    ("name", "meant"),
    [("accuracy_score", "accuracy"), ("brier_score_loss", "brier"), ("mae", "mean_absolute_error"), ("calibration_error", "expected_calibration_error")],
)
def test_names_of_metrics_in_other_libraries_are_known(name: str, meant: str) -> None:
    with pytest.raises(AttributeError, match=rf"dr\.metrics has no {name!r}\. Did you mean {meant!r}"):
        getattr(dr.metrics, name)


def test_a_metric_that_is_called_otherwise_says_what_it_takes() -> None:
    with pytest.raises(dr.errors.ArgumentError, match=r"accuracy: no argument 'y_true'\. Did you mean 'gold'"):
        dr.metrics.accuracy(y_true="a", y_pred="b")  # type: ignore[call-arg]


def test_an_expression_stands_for_its_mean_here_and_in_a_comparison(session: dr.Session) -> None:
    df = dr.frame({"id": [1, 2, 3, 4], "said": ["a", "b", "a", "a"], "gold": ["a", "a", "a", "b"]})
    right = pl.col("said") == pl.col("gold")
    assert df.evaluate(right=right)["right"].value == 0.5
    assert dr.compare(df, df, on="id", metric=right)["difference"].value == 0.0


SCORED: dict[str, Any] = {
    "shares": (lambda row: row["said"] == row["gold"], pl.col("said") == pl.col("gold")),
    "scores that are explained": (lambda row: (len(row["said"]) / 4, "its length"), pl.col("said").str.len_chars() / 4),
    "rows without a score": (lambda row: None if row["gold"] == "b" else row["said"] == "a", pl.when(pl.col("gold") != "b").then(pl.col("said") == "a")),
}  # fmt: skip


@pytest.mark.parametrize("kind", SCORED)
def test_a_function_is_of_one_row_wherever_a_metric_is_taken(kind: str, session: dr.Session) -> None:
    """In evaluate, compare, compare_models and (test_tune) tune it says what an expression says; the function of all rows has a name of its own."""
    function, expression = SCORED[kind]
    df = dr.frame({"id": [1, 2, 3, 4, 5], "said": ["a", "bb", "a", "a", "a"], "gold": ["a", "a", "a", "b", "a"]})
    of_each = [df.evaluate(mine=metric)["mine"] for metric in (function, expression, dr.metrics.mean(function, columns=["said", "gold"]))]
    assert of_each[1:] == of_each[:-1]
    other = df.with_columns(said=pl.lit("a"))
    tested = [dr.compare(df, other, on="id", metric=metric).as_dict() for metric in (function, expression)]
    assert {k: v for k, v in tested[0].items() if k != "spent"} == {k: v for k, v in tested[1].items() if k != "spent"}
    echo = df.prompt(Echo(), "{said}", into="answer")
    quality = [echo.compare_models([Echo()], metric=metric, on=None)["quality"][0] for metric in (function, expression)]
    assert quality[0] == quality[1] == pytest.approx(of_each[0].value * of_each[0].n / 5), "there, no score is a score of 0"


def test_a_function_of_the_other_kind_is_told_which_it_is_taken_for(session: dr.Session) -> None:
    df = dr.frame({"a": [1, 2]})
    with pytest.raises(SettingError, match=r"gave a Series, not a number\. It is given all rows as a polars frame: .*; one of each row is dr\.metrics\.mean"):
        df.evaluate(mine=dr.metrics.function(lambda row: row["a"] == 1))
    with pytest.raises(RunError, match=r"given the row \{'a': 1\}\. A function is given one row, a dict; one of all rows together is dr\.metrics\.function"):
        df.evaluate(mine=lambda rows: rows["a"].mean())
    with pytest.raises(RunError, match=r"gave \[1\]; a score is a number.* one of all rows together is dr\.metrics\.function"):
        df.evaluate(mine=lambda row: [row["a"]])
    with pytest.raises(SettingError, match="columns='a' are those of a function"):
        dr.metrics.mean("a", columns="a")


def test_a_positive_label_that_an_enum_has_not_is_refused_when_the_plan_is_built() -> None:
    df = dr.frame({"p": ["a"], "g": ["a"]}).cast({"g": pl.Enum(["a", "b"])})
    with pytest.raises(SettingError, match="pos_label='A' is not one of the labels of 'g': 'a', 'b'"):
        df.evaluate(dr.metrics.f1("p", "g", pos_label="A"))
