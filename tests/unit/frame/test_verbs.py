"""The relational verbs: polars' results, in a defined order, in new frames."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

import dreamframe as dr

DATA = pl.DataFrame({"k": ["b", "a", "b", "c"], "v": [3, 1, 2, 4], "t": ["x y", "y", "x", "z"], "l": [[1], [2, 3], [4], [5]]})
OTHER = pl.DataFrame({"k": ["a", "b", "d"], "w": [10, 20, 30]})
NULL_OR_2 = pl.when(pl.col("v") < 3).then(2)
NAN = pl.when(pl.col("v") > 2).then(float("nan")).otherwise(1.0)
EMPTY = pl.Series("l", [[1], [], None, [5]])
STRUCT = pl.struct("k", "v")

# name → (on a dreamframe, on polars)
VERBS: dict[str, tuple[Callable[[dr.Frame], dr.Frame], Callable[[pl.DataFrame], pl.DataFrame]]] = {
    "select": (lambda d: d.select("k", n=pl.col("v") + 1), lambda p: p.select("k", n=pl.col("v") + 1)),
    "select aggregate": (lambda d: d.select(pl.col("v").sum()), lambda p: p.select(pl.col("v").sum())),
    "with_columns": (lambda d: d.with_columns(u=pl.col("t").str.to_uppercase()), lambda p: p.with_columns(u=pl.col("t").str.to_uppercase())),
    "with_columns literal": (lambda d: d.with_columns(one=1), lambda p: p.with_columns(one=1)),
    "filter": (lambda d: d.filter(pl.col("v") > 1, k="b"), lambda p: p.filter(pl.col("v") > 1, k="b")),
    "drop": (lambda d: d.drop("t", "l"), lambda p: p.drop("t", "l")),
    "rename": (lambda d: d.rename({"k": "key"}), lambda p: p.rename({"k": "key"})),
    "cast": (lambda d: d.cast({"v": pl.Float64}), lambda p: p.cast({"v": pl.Float64})),
    "sort": (lambda d: d.sort("k", "v", descending=[True, False]), lambda p: p.sort("k", "v", descending=[True, False])),
    "sort is stable": (lambda d: d.sort("k"), lambda p: p.sort("k", maintain_order=True)),
    "head": (lambda d: d.head(2), lambda p: p.head(2)),
    "limit": (lambda d: d.limit(3), lambda p: p.limit(3)),
    "tail": (lambda d: d.tail(2), lambda p: p.tail(2)),
    "slice": (lambda d: d.slice(1, 2), lambda p: p.slice(1, 2)),
    "reverse": (lambda d: d.reverse(), lambda p: p.reverse()),
    "unique": (lambda d: d.unique("k"), lambda p: p.unique("k", keep="first", maintain_order=True)),
    "drop_nulls": (lambda d: d.drop_nulls(), lambda p: p.drop_nulls()),
    "join inner": (lambda d: d.join(dr.frame(OTHER), on="k"), lambda p: p.join(OTHER, on="k", maintain_order="left_right")),
    "join left": (lambda d: d.join(dr.frame(OTHER), on="k", how="left"), lambda p: p.join(OTHER, on="k", how="left", maintain_order="left_right")),
    "join full": (lambda d: d.join(dr.frame(OTHER), on="k", how="full"), lambda p: p.join(OTHER, on="k", how="full", maintain_order="left_right")),
    "join semi": (lambda d: d.join(dr.frame(OTHER), on="k", how="semi"), lambda p: p.join(OTHER, on="k", how="semi", maintain_order="left")),
    "join anti": (lambda d: d.join(dr.frame(OTHER), on="k", how="anti"), lambda p: p.join(OTHER, on="k", how="anti", maintain_order="left")),
    "join cross": (lambda d: d.join(dr.frame(OTHER), how="cross"), lambda p: p.join(OTHER, how="cross")),
    "group_by": (
        lambda d: d.group_by("k").agg(pl.col("v").sum(), n=pl.len()),
        lambda p: p.group_by("k", maintain_order=True).agg(pl.col("v").sum(), n=pl.len()),
    ),
    "explode": (lambda d: d.explode("l"), lambda p: p.explode("l")),
    "unnest": (lambda d: d.select(s=pl.struct("k", "v")).unnest("s"), lambda p: p.select(s=pl.struct("k", "v")).unnest("s")),
    "unpivot": (lambda d: d.unpivot(["k", "t"], index="v"), lambda p: p.unpivot(["k", "t"], index="v")),
    "remove": (lambda d: d.remove(pl.col("v") > 1, k="b"), lambda p: p.remove(pl.col("v") > 1, k="b")),
    "remove what is null": (lambda d: d.remove(NULL_OR_2 == 2), lambda p: p.remove(NULL_OR_2 == 2)),
    "filter by truth values": (lambda d: d.filter([True, False, True, False]), lambda p: p.filter([True, False, True, False])),
    "filter by a tuple": (lambda d: d.filter((True, False, True, False)), lambda p: p.filter([True, False, True, False])),
    "concat side by side, of other lengths": (
        lambda d: dr.concat([d, d.head(1).select(w="v")], how="horizontal_extend"),
        lambda p: pl.concat([p, p.head(1).select(w="v")], how="horizontal_extend"),
    ),
    "rename by a function": (lambda d: d.rename(str.upper), lambda p: p.rename(str.upper)),
    "rename what may not be there": (lambda d: d.rename({"k": "x", "z": "y"}, strict=False), lambda p: p.rename({"k": "x", "z": "y"}, strict=False)),
    "explode empty lists": (lambda d: d.with_columns(EMPTY).explode("l", empty_as_null=True), lambda p: p.with_columns(EMPTY).explode("l", empty_as_null=True)),
    "explode without nulls": (lambda d: d.with_columns(EMPTY).explode("l", keep_nulls=False), lambda p: p.with_columns(EMPTY).explode("l", keep_nulls=False)),
    "unnest with names": (lambda d: d.select(s=STRUCT).unnest("s", separator="_"), lambda p: p.select(s=STRUCT).unnest("s", separator="_")),
    "unnest all": (lambda d: d.select("l", s=STRUCT).unnest(), lambda p: p.select("l", s=STRUCT).unnest()),
    "gather one": (lambda d: d.gather(2), lambda p: p[[2]]),
    "gather what is not there": (lambda d: d.gather([9, 0], null_on_oob=True), lambda p: p.lazy().gather([9, 0], null_on_oob=True).collect()),
    "gather_every": (lambda d: d.gather_every(2, 1), lambda p: p.gather_every(2, 1)),
    "pivot": (
        lambda d: d.pivot("k", ["a", "b"], index="t", values="v", aggregate_function="sum"),
        lambda p: p.pivot("k", on_columns=["a", "b"], index="t", values="v", aggregate_function="sum", maintain_order=True),
    ),
    "pivot by an expression": (
        lambda d: d.pivot("k", ["b"], index="t", values="v", aggregate_function=pl.element().max()),
        lambda p: p.pivot("k", on_columns=["b"], index="t", values="v", aggregate_function=pl.element().max(), maintain_order=True),
    ),
    "top_k": (lambda d: d.top_k(2, by="v"), lambda p: p.sort("v", descending=True).head(2)),
    "top_k of nulls": (lambda d: d.top_k(3, by=NULL_OR_2), lambda p: p.sort(NULL_OR_2, descending=True, nulls_last=True, maintain_order=True).head(3)),
    "bottom_k": (lambda d: d.bottom_k(3, by=["k", "v"]), lambda p: p.sort("k", "v").head(3)),
    "top_k, reversed in part": (lambda d: d.top_k(3, by=["k", "v"], reverse=[True, False]), lambda p: p.sort("k", "v", descending=[False, True]).head(3)),
    "fill_null": (lambda d: d.with_columns(n=NULL_OR_2).fill_null(0), lambda p: p.with_columns(n=NULL_OR_2).fill_null(0)),
    "fill_null by a strategy": (
        lambda d: d.with_columns(n=NULL_OR_2).fill_null(strategy="backward", limit=1),
        lambda p: p.with_columns(n=NULL_OR_2).fill_null(strategy="backward", limit=1),
    ),
    "fill_null by an expression": (lambda d: d.select("v", n=NULL_OR_2).fill_null(pl.col("v")), lambda p: p.select("v", n=NULL_OR_2).fill_null(pl.col("v"))),
    "fill_nan": (lambda d: d.with_columns(f=NAN).fill_nan(None), lambda p: p.with_columns(f=NAN).fill_nan(None)),
    "drop_nans": (lambda d: d.with_columns(f=NAN).drop_nans("f"), lambda p: p.with_columns(f=NAN).drop_nans("f")),
    "interpolate": (lambda d: d.select(n=NULL_OR_2).interpolate(), lambda p: p.select(n=NULL_OR_2).interpolate()),
    "shift": (lambda d: d.shift(-1), lambda p: p.shift(-1)),
    "shift and fill": (lambda d: d.select("v").shift(2, fill_value=0), lambda p: p.select("v").shift(2, fill_value=0)),
    "join_asof": (
        lambda d: d.sort("v").join_asof(dr.frame({"v": [2, 4], "w": ["x", "y"]}), on="v", strategy="nearest"),
        lambda p: p.sort("v").join_asof(pl.DataFrame({"v": [2, 4], "w": ["x", "y"]}), on="v", strategy="nearest"),
    ),
    "join_asof by groups": (
        lambda d: d.sort("v").join_asof(dr.frame({"u": [1, 1], "k": ["b", "a"]}), left_on="v", right_on="u", by="k", tolerance=1, check_sortedness=False),
        lambda p: p.sort("v").join_asof(pl.DataFrame({"u": [1, 1], "k": ["b", "a"]}), left_on="v", right_on="u", by="k", tolerance=1, check_sortedness=False),
    ),
    "join_where": (
        lambda d: d.join_where(dr.frame(OTHER), pl.col("v") * 10 > pl.col("w"), pl.col("k") != pl.col("k_right")),
        lambda p: p.join(OTHER, how="cross").filter(pl.col("v") * 10 > pl.col("w"), pl.col("k") != pl.col("k_right")),
    ),
    "merge_sorted": (
        lambda d: d.sort("v").merge_sorted(d.sort("v"), "v"),
        lambda p: pl.concat([p.sort("v"), p.sort("v")]).sort("v", maintain_order=True),
    ),
    "update": (
        lambda d: d.update(dr.frame({"k": ["a", "b"], "v": [9, None]}), on="k"),
        lambda p: p.update(pl.DataFrame({"k": ["a", "b"], "v": [9, None]}), on="k", maintain_order="left"),
    ),
    "update of places": (lambda d: d.update(dr.frame({"v": [7, None]})), lambda p: p.update(pl.DataFrame({"v": [7, None]}))),
    "join in another order": (
        lambda d: d.join(dr.frame(OTHER), on="k", maintain_order="right_left"),
        lambda p: p.join(OTHER, on="k", maintain_order="right_left"),
    ),
    **{  # one row of all
        name: (lambda d, name=name: getattr(d.select("v"), name)(), lambda p, name=name: getattr(p.select("v"), name)())
        for name in ("count", "null_count", "min", "max", "sum", "mean", "median", "std", "var")
    },
    "quantile": (lambda d: d.select("v").quantile(0.3, "linear"), lambda p: p.select("v").quantile(0.3, "linear")),
    "concat relaxed": (
        lambda d: dr.concat((f for f in (d, d.cast({"v": pl.Float64}))), how="vertical_relaxed", rechunk=True),
        lambda p: pl.concat([p, p.cast({"v": pl.Float64})], how="vertical_relaxed"),
    ),
    "with_row_index": (lambda d: d.with_row_index("i", 5), lambda p: p.with_row_index("i", 5)),
    "gather": (lambda d: d.gather([2, 0]), lambda p: p[[2, 0]]),
    "shard": (lambda d: d.shard(2, 1), lambda p: p.gather_every(2, 1)),
    "concat vertical": (lambda d: dr.concat([d, d.head(1)]), lambda p: pl.concat([p, p.head(1)])),
    "concat diagonal": (
        lambda d: dr.concat([d.select("k"), d.select("v")], how="diagonal"),
        lambda p: pl.concat([p.select("k"), p.select("v")], how="diagonal"),
    ),
    "concat horizontal": (lambda d: dr.concat([d.select("k"), d.select("v")], how="horizontal"), lambda p: p.select("k", "v")),
}


@pytest.fixture(autouse=True)
def session():
    with dr.Session(None) as active:
        yield active


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_gives_polars_rows(verb: str):
    ours, theirs = VERBS[verb]
    assert ours(dr.frame(DATA)).collect().equals(theirs(DATA))


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_knows_its_schema_before_it_runs(verb: str):
    ours, theirs = VERBS[verb]
    assert ours(dr.frame(DATA)).schema == theirs(DATA).schema


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_leaves_the_frame_as_it_was(verb: str):
    df = dr.frame(DATA)
    before = df.explain()
    VERBS[verb][0](df)
    assert df.explain() == before
    assert df.collect().equals(DATA)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_over_a_model_column_gives_the_same_rows(verb: str):
    df = dr.frame(DATA).prompt(dr.testing.Echo(), "{t}", into="said")
    expected = DATA.with_columns(said=pl.col("t"))
    ours, theirs = VERBS[verb]
    assert ours(df).collect().equals(theirs(expected))


def test_rows_of_several_columns_keep_their_order_in_batches():
    df = dr.frame({"a": range(50), "b": range(50)}).unpivot(["a", "b"])
    rows = df.collect()
    assert pl.concat(df.collect_batches()).equals(rows)
    assert df.lazy().collect().equals(rows)
    assert df.prompt(dr.testing.Echo(), "{value}", into="said").drop("said").collect().equals(rows)
    assert rows["variable"].to_list() == ["a"] * 50 + ["b"] * 50


def test_a_frame_cannot_be_changed():
    with pytest.raises(AttributeError, match="immutable"):
        dr.frame(DATA).step = None  # type: ignore[misc]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda d: d.filter(pl.col("vv") > 1),
        lambda d: d.select("vv"),
        lambda d: d.sort("vv"),
        lambda d: d.with_columns(a=pl.col("vv")),
        lambda d: d.group_by("vv").agg(pl.len()),
        lambda d: d.drop("vv"),
        lambda d: d.rename({"vv": "w"}),
        lambda d: d.unique("vv"),
        lambda d: d.explode("vv"),
        lambda d: d.join(dr.frame(OTHER), on="vv"),
        lambda d: d.prompt(dr.testing.Echo(), "{vv}"),
        lambda d: d.split(train=0.5, stratify="vv"),
    ],
    ids=["filter", "select", "sort", "with_columns", "group_by", "drop", "rename", "unique", "explode", "join", "prompt", "split"],
)
def test_a_missing_column_fails_on_its_line_and_suggests_the_near_miss(wrong: Callable[[dr.Frame], Any]):
    df = dr.frame(DATA)
    with pytest.raises(dr.errors.ColumnNotFoundError, match=r"no column 'vv'.*Did you mean 'v'"):
        wrong(df)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda d: d.with_columns(s=pl.struct(t=pl.lit(1))).unnest("s"), "'t' has more than one occurrence"),
        (lambda d: d.explode("t"), "not supported for dtype `str`"),
        (lambda d: d.unnest("t"), "expected 'Struct'"),
        (lambda d: dr.concat([d, d.with_columns(v=pl.lit("x"))]), "column 'v' is Int64 in frame 1 and String in frame 2"),
    ],
    ids=["names that clash", "texts exploded", "texts unnested", "types that differ"],
)
def test_a_wrong_verb_fails_on_its_line_before_anything_is_asked(wrong: Callable[[dr.Frame], Any], why: str):
    with pytest.raises(dr.errors.PlanError, match=why):
        wrong(dr.frame(DATA).prompt(dr.testing.Echo(), "{t}"))


FRAMES: dict[str, Callable[[], Any]] = {
    "dict of columns": lambda: {"a": [1, 2], "b": ["x", "y"]},
    "list of dicts": lambda: [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
    "iterator of dicts": lambda: iter([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
    "polars": lambda: pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
    "lazy polars": lambda: pl.LazyFrame({"a": [1, 2], "b": ["x", "y"]}),
    "arrow": lambda: pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_arrow(),
    "pandas": lambda: pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_pandas(),
    "frame": lambda: dr.frame({"a": [1, 2], "b": ["x", "y"]}),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_every_kind_of_table_becomes_the_same_frame(kind: str):
    assert dr.frame(FRAMES[kind]()).to_dicts() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


@pytest.mark.parametrize("wrong", [3, "text", object(), ["a", "b"]], ids=["number", "string", "object", "list of strings"])
def test_what_is_no_table_is_refused_with_the_possible_kinds(wrong: Any):
    with pytest.raises(dr.errors.PlanError, match="Pass a dict of columns, a list of dicts"):
        dr.frame(wrong)


def test_the_accessors_of_polars_frames_make_frames():
    assert DATA.dream.head(1).to_dicts() == DATA.head(1).to_dicts()
    assert DATA.lazy().dream.head(1).to_dicts() == DATA.head(1).to_dicts()


SCANS: dict[str, tuple[Callable[..., dr.Frame], str]] = {
    "csv": (dr.scan_csv, "write_csv"),
    "parquet": (dr.scan_parquet, "write_parquet"),
    "ndjson": (dr.scan_ndjson, "write_ndjson"),
    "json": (dr.scan_json, "write_json"),
    "ipc": (dr.scan_ipc, "write_ipc"),
}


@pytest.mark.parametrize("format", SCANS)
def test_a_scan_reads_what_was_written(format: str, tmp_path):
    rows = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    scan, write = SCANS[format]
    getattr(rows, write)(tmp_path / "part-1")
    getattr(rows, write)(tmp_path / "part-2")
    assert scan(tmp_path / "part-1").collect().equals(rows)
    assert scan(str(tmp_path / "part-*")).collect().equals(pl.concat([rows, rows]))
    assert scan([tmp_path / "part-2", tmp_path / "part-1"]).collect().equals(pl.concat([rows, rows]))


def test_scan_text_gives_a_row_a_line(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\ntwo, three\n")
    assert dr.scan_text(tmp_path / "a.txt").to_dicts() == [{"text": "one"}, {"text": ""}, {"text": "two, three"}]


def test_a_missing_file_is_named_with_its_neighbours(tmp_path):
    (tmp_path / "tickets.csv").write_text("a\n1\n")
    with pytest.raises(dr.errors.PlanError, match=r"no such file.*tickes\.csv.*The folder has tickets\.csv"):
        dr.scan_csv(tmp_path / "tickes.csv")


def test_write_and_read_back(tmp_path):
    df = dr.frame({"a": [1, 2]})
    df.write_csv(tmp_path / "new" / "a.csv")
    df.write_parquet(tmp_path / "a.parquet")
    df.write_ndjson(tmp_path / "a.ndjson")
    df.write_json(tmp_path / "a.json")
    for read, name in ((pl.read_csv, "new/a.csv"), (pl.read_parquet, "a.parquet"), (pl.read_ndjson, "a.ndjson"), (pl.read_json, "a.json")):
        assert read(tmp_path / name).to_dicts() == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", '=HYPERLINK("http://x","y")'], ids=ascii)
def test_a_csv_for_spreadsheets_holds_no_formula(text, tmp_path):
    df = dr.frame({"t": [text, "a=b", None, "", "é-"], "n": [-1, 2, 3, 4, 5], "@c": [text] * 5})
    df.write_csv(tmp_path / "safe.csv", spreadsheet_safe=True)
    read = pl.read_csv(tmp_path / "safe.csv", schema_overrides={"t": pl.String})
    assert read.columns == ["t", "n", "'@c"]
    assert read.get_column("t").to_list()[0] == "'" + text
    assert read.get_column("t").to_list()[1] == "a=b"
    assert read.get_column("t").to_list()[4] == "é-"
    assert read.get_column("n").to_list() == [-1, 2, 3, 4, 5], "numbers are no formulas"
    df.write_csv(tmp_path / "plain.csv")
    assert pl.read_csv(tmp_path / "plain.csv").item(0, "t") == text, "unless asked, what was said is what is written"


def test_a_word_that_changes_nothing_here_changes_no_key_and_makes_no_column() -> None:
    d = dr.frame(DATA)
    for made, plain in (
        (d.sort("k", maintain_order=True), d.sort("k")),
        (d.unique("k", maintain_order=True), d.unique("k")),
        (d.group_by("k", maintain_order=True).len(), d.group_by("k").len()),
        (d.join(d, on="k", maintain_order="none"), d.join(d, on="k")),
        (d.explode("l", empty_as_null=False, keep_nulls=True), d.explode("l")),
        (d.rename({"k": "x"}, strict=True), d.rename({"k": "x"})),
        (dr.concat(iter([d, d])), dr.concat([d, d])),
    ):
        assert made.columns == plain.columns
        assert made.step.key({}) == plain.step.key({})


WRONG: dict[str, tuple[Callable[[dr.Frame], object], str]] = {
    "head": (lambda d: d.head(-1), "head: n=-1 is not a number of rows"),
    "head of a part": (lambda d: d.head(1.5), "head: n=1.5 is not a number of rows"),  # type: ignore[arg-type]
    "limit": (lambda d: d.limit("a"), "limit: n='a' is not a number of rows"),  # type: ignore[arg-type]
    "tail": (lambda d: d.tail(-1), "tail: n=-1 is not a number of rows"),
    "slice": (lambda d: d.slice("a"), "slice: offset='a' is not a whole number"),  # type: ignore[arg-type]
    "slice of less than none": (lambda d: d.slice(1, -2), "slice: length=-2 is not a number of rows"),
    "top_k": (lambda d: d.top_k(-1, by="v"), "top_k: k=-1 is not a number of rows"),
    "gather": (lambda d: d.gather([True, False]), "gather: index=True is not a whole number"),
    "gather of a text": (lambda d: d.gather("ab"), "gather: 'ab' is not a list of positions"),  # type: ignore[arg-type]
    "gather_every": (lambda d: d.gather_every(0), "gather_every: n=0 takes no row"),
    "pivot": (lambda d: d.pivot("k", index="t", values="v"), "pivot: which columns it makes depends on rows"),
    "join_asof": (lambda d: d.join_asof(DATA, on="v"), "join_asof: the other side is an object of type polars.DataFrame"),  # type: ignore[arg-type]
    "join": (lambda d: d.join(d, on="k", maintain_order="up"), "join: maintain_order='up' is not one of"),
    "join_where": (lambda d: d.join_where(d), "join_where: give at least one predicate"),
    "sort": (lambda d: d.sort("k", "v", descending=[True]), "sort: the length of `descending`"),
    "join without columns": (lambda d: d.join(d), "join: name the columns that both frames have in common"),
    "join of the past": (lambda d: d.join(d, on="k", how="outer"), "join: how='outer' is not one of .*'full'"),
    "join_asof without columns": (lambda d: d.join_asof(d), "join_asof: you should pass the column"),
    "fill_null": (lambda d: d.fill_null(strategy="foward"), "fill_null: `strategy` must be one of"),
    "fill_null without a value": (lambda d: d.fill_null(), "fill_null: must specify either"),
    "unique": (lambda d: d.unique(keep="best"), "unique: keep='best' is not one of 'first'"),
    "update": (lambda d: d.update(d, on="zz"), "update: .*'zz' not found"),
    "concat to the side": (lambda d: dr.concat([d, d], how="sideways"), "concat: .*'horizontal'"),
    "concat": (dr.concat, "concat: one frame is given"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("verb", WRONG)
def test_a_wrong_argument_fails_where_it_was_written(verb: str) -> None:
    wrong, said = WRONG[verb]
    with pytest.raises(dr.errors.SettingError, match=said):
        wrong(dr.frame(DATA))


def test_model_columns_may_stand_in_these_verbs() -> None:
    d, llm = dr.frame({"t": ["a", "bb", "c"], "n": [1.0, None, float("nan")]}), dr.testing.Echo()
    rated = dr.prompt(llm, "{t}{t}", into="said").str.len_chars()
    assert d.top_k(1, by=rated).to_dicts() == [{"t": "bb", "n": None}]
    assert d.remove(rated > 2).collect()["t"].to_list() == ["a", "c"]
    assert d.fill_null(rated.cast(pl.Float64)).collect()["n"].to_list()[:2] == [1.0, 4.0]
    assert d.fill_nan(rated).columns == ["t", "n"]
