"""What needs all rows is not paid for while some of them failed, and nothing is kept under the key of another content."""

from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.steps.source import Scan
from dreamframe.testing import Echo, Failing

ROWS = dr.frame({"k": ["a", "a", "b"], "t": ["x", "y", "z"]})


def failing(word: str) -> Failing:
    return Failing(when=lambda p: word in p)


def test_a_prompt_over_groups_is_not_asked_about_half_a_group():
    second = Echo()
    df = ROWS.prompt(failing("y"), "{t}", into="said").group_by("k").agg(pl.col("said").str.join(" ")).prompt(second, "Sum up {said}")
    with dr.Session(None), pytest.raises(dr.errors.RowsFailedError, match="1 of 3 rows failed"):
        df.collect()
    assert second.calls == 0


def test_dropped_rows_were_given_up_and_the_rest_goes_on():
    second = Echo()
    df = ROWS.prompt(failing("y"), "{t}", into="said", on_error="drop").group_by("k").agg(pl.col("said").str.join(" ")).prompt(second, "Sum up {said}")
    with dr.Session(None):
        assert df.collect()["answer"].to_list() == ["Sum up x", "Sum up z"]


def test_a_function_of_the_whole_table_does_not_see_part_of_it():
    seen = []
    df = ROWS.prompt(failing("y"), "{t}", into="said").map_batches(dr.versioned(lambda t: seen.append(t.height) or t, version=1, name="heights"))
    with dr.Session(None), pytest.raises(dr.errors.RowsFailedError):
        df.collect()
    assert seen == []


def test_the_other_branch_finishes_before_a_failure_is_raised():
    other = Echo(latency_s=0.05)
    bad = ROWS.prompt(failing("y"), "{t}", into="said").group_by("k").agg(pl.col("said").first()).prompt(Echo(), "{k}")
    good = ROWS.prompt(other, "Say {t}", into="heard")
    with dr.Session(None) as session, pytest.raises(dr.errors.RowsFailedError):
        dr.collect_all([bad, good])
    assert other.calls == 3
    assert session.usage()["calls"] == 5


def test_a_file_that_changes_while_it_is_read_keeps_nothing_under_its_old_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "rows.csv"
    file.write_text("t\nold\n")
    df = dr.scan_csv(file).prompt(Echo(), "{t}")
    read = Scan.lazy

    def changed_under_our_hands(self: Scan) -> pl.LazyFrame:
        file.write_text("t\nnew\n")
        return read(self)

    with dr.Session(tmp_path / "session"):
        monkeypatch.setattr(Scan, "lazy", changed_under_our_hands)
        with pytest.raises(dr.errors.SourceChangedError, match="run again"):
            df.collect()
        monkeypatch.undo()
        assert df.collect()["answer"].to_list() == ["new"]
        file.write_text("t\nold\n")
        assert df.collect()["answer"].to_list() == ["old"]


def test_explaining_a_plan_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert "PROMPT" in ROWS.prompt(Echo(), "{t}").head(1).explain()
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_answers_with_no_text_is_told_so_and_the_session_lives_on():
    with dr.Session(None):
        with pytest.raises(TypeError, match="gave a int"):
            ROWS.prompt(dr.testing.Scripted(lambda _: dr.testing.Completion(3)), "{t}").collect()
        assert ROWS.prompt(Echo(), "{t}").collect().height == 3


def test_a_template_name_that_is_an_argument_is_refused():
    with pytest.raises(dr.errors.SettingError, match="n= is a whole number"):
        dr.prompt(Echo(), "{n}", n=pl.col("t"))


@pytest.mark.parametrize(
    "verb",
    [lambda df: df.gather([1]), lambda df: df.gather([1]).sort("t"), lambda df: df.sample(3), lambda df: dr.concat([df.gather([2]), df])],
    ids=["gather", "below another", "sample", "in a branch"],
)
def test_rows_that_failed_are_told_where_a_verb_cannot_go_on_without_them(verb):
    df = verb(ROWS.prompt(failing("y"), "{t}", into="said"))
    with dr.Session(None):
        with pytest.raises(dr.errors.RowsFailedError, match=r"said: 1 of \d rows failed"):
            df.collect()
        assert df.failures().height == 1


def test_what_a_verb_refuses_of_whole_rows_is_its_own_error():
    with dr.Session(None), pytest.raises(pl.exceptions.OutOfBoundsError):
        ROWS.prompt(failing("y"), "{t}", into="said", on_error="drop").gather([2]).collect()


def test_failed_rows_are_counted_among_all_rows_that_were_to_be_asked():
    said = ROWS.prompt(failing(""), "{t}", into="said")
    branches = dr.concat([said, ROWS.head(1).prompt(failing(""), "! {t}", into="said")])
    chained = ROWS.prompt(failing("y"), "{t}", into="said").prompt(failing("x"), "! {t} {said}", into="more")
    with dr.Session(None):
        with pytest.raises(dr.errors.RowsFailedError, match="said: 4 of 4 rows failed"):
            branches.collect()
        with pytest.raises(dr.errors.RowsFailedError, match="said, more: 2 of 3 rows failed"):
            chained.collect()


@pytest.mark.parametrize("settings", [{}, {"name": "asking"}], ids=["no name", "a name"])
def test_a_failure_names_the_column_as_the_user_wrote_it(settings):
    df = ROWS.with_columns(dr.prompt(failing("y"), "{t}", into="said", **settings).str.len_chars().alias("n"))
    with dr.Session(None) as session:
        with pytest.raises(dr.errors.RowsFailedError):
            df.collect()
        assert df.failures()["column"].to_list() == ["said"]
    assert [f["column"] for run in session.runs() for f in run.failures] == ["said"]
