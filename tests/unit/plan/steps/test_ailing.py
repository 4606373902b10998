"""Files that cannot be read: the error names the file, what is wrong with it and what to do, as early as it can be known."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import PlanError, RunError


def stream() -> bytes:
    made = io.BytesIO()
    pl.DataFrame({"a": [1]}).write_ipc_stream(made)
    return made.getvalue()


IN_A_PLAN: dict[str, tuple[str, dict[str, bytes], str]] = {  # format, files, what is said of the last one
    "a column is missing": ("json", {"1": b'[{"a": 1, "b": "x"}]', "2": b'[{"a": 1}]'}, "has other columns than .*1: it lacks 'b'"),
    "null, then text": ("json", {"1": b'[{"b": null}]', "2": b'[{"b": "x"}]'}, "'b' is String instead of Null"),
    "other columns": ("csv", {"1": b"a\n1\n", "2": b"b\nx\n"}, "it has 'b'; it lacks 'a'.*diagonal_relaxed"),
    "not Parquet": ("parquet", {"1": b"a\n1\n"}, "1: "),
    "lines as an array": ("json", {"1": b'{"a": 1}\n{"a": 2}\n'}, "JSON object a line: dr.scan_ndjson"),
    "an array as lines": ("ndjson", {"1": b'[{"a": 1},\n{"a": 2}]'}, "one JSON array, not an object a line: dr.scan_json"),
    "empty CSV": ("csv", {"1": b""}, "1: .*The file is empty"),
    "empty JSON": ("json", {"1": b" \n"}, "The file is empty"),
    "empty lines": ("ndjson", {"1": b""}, "The file is empty"),
    "half a JSON": ("json", {"1": b'[{"a": 1'}, "1: "),
    "16 bits": ("csv", {"1": "a\n1\n".encode("utf-16")}, "UTF-16.*Save it as UTF-8"),
    "a pointer": ("parquet", {"1": b"version https://git-lfs.github.com/spec/v1\n"}, "git lfs pull"),
    "Parquet as CSV": ("ndjson", {"1": b"PAR1\x15"}, "dr.scan_parquet"),
    "not Arrow": ("ipc", {"1": b"no"}, "1: "),
    "a stream of Arrow": ("ipc", {"1": stream()}, "a stream of Arrow.*scan_hf_disk"),
    "half a gzip": ("csv", {"1": gzip.compress(bytes(range(97, 123)) * 99)[:25]}, "compressed, and cut off"),
    "NaN of Python": ("ndjson", {"1": b'{"a": NaN}\n'}, "NaN and Infinity are no JSON"),
    "no such field": ("json", {"1": b'{"rows": [{"a": 1}]}'}, "1 has no list 'data'; there is 'rows'"),
}
IN_A_RUN: dict[str, tuple[str, dict[str, bytes], str]] = {
    "a row of three": ("csv", {"1": b"a,b\n1,2\n", "2": b"a,b\n1,2\n1,2,3\n"}, "2: found more fields.*truncate_ragged_lines"),
    "a late text": ("csv", {"1": b"a\n" + b"1\n" * 150 + b"x\n"}, "1: could not parse `x`.*infer_schema_length"),
    "not UTF-8": ("csv", {"1": "a\nß\n".encode("latin-1")}, "It is not UTF-8.*encoding='utf8-lossy'"),
    "text of 16 bits": ("text", {"1": "one\n".encode("utf-16")}, "UTF-16"),
}


def written(tmp_path: Path, files: dict[str, bytes]) -> list[Path]:
    for name, held in files.items():
        (tmp_path / name).write_bytes(held)
    return [tmp_path / name for name in files]


@pytest.mark.parametrize("case", IN_A_PLAN)
def test_a_file_that_cannot_be_read_is_named_when_the_plan_is_built(case: str, tmp_path: Path) -> None:
    format, files, said = IN_A_PLAN[case]
    paths = written(tmp_path, files)
    with pytest.raises(PlanError, match=said) as caught:
        getattr(dr, f"scan_{format}")(paths, **({"field": "data"} if case == "no such field" else {}))
    assert str(caught.value).startswith(f"scan_{format}: {paths[-1]}")


@pytest.mark.parametrize("case", IN_A_RUN)
@pytest.mark.parametrize("way", ["collect", "prompt", "batches"])
def test_a_file_that_cannot_be_read_to_its_end_is_named_by_the_run(case: str, way: str, tmp_path: Path) -> None:
    format, files, said = IN_A_RUN[case]
    paths = written(tmp_path, files)
    frame = getattr(dr, f"scan_{format}")(paths)
    run: dict[str, Callable[[], object]] = {
        "collect": frame.collect, "prompt": frame.with_columns(x=1).prompt(dr.testing.Echo(), "{x}").collect, "batches": lambda: list(frame.collect_batches())
    }  # fmt: skip
    with dr.Session(None), pytest.raises(RunError, match=said) as caught:
        run[way]()
    assert str(caught.value).startswith(f"scan_{format}: {paths[-1]}")
    assert isinstance(caught.value.__cause__, pl.exceptions.PolarsError)


@pytest.mark.parametrize(("columns", "said"), [({"b": pl.Int64}, "it has 'b'; it lacks 'a'"), ({"a": pl.String}, "'a' is String instead of Int64")])
def test_files_of_other_columns_are_named_by_the_run(columns: dict[str, pl.DataType], said: str, tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({c: [1] for c in columns}).cast(columns).write_parquet(tmp_path / "2.parquet")  # type: ignore[arg-type]
    with dr.Session(None), pytest.raises(RunError, match=rf"2.parquet has other columns than .*1.parquet: {said}"):
        dr.scan_parquet(tmp_path).collect()


def test_an_error_that_is_no_files_stays_polars_own() -> None:
    Path("fine.csv").write_text("a\nx\n")
    with dr.Session(None), pytest.raises(pl.exceptions.InvalidOperationError, match="conversion from"):
        dr.scan_csv("fine.csv").cast(pl.Int64).collect()


@pytest.mark.parametrize(
    ("other", "said"), [({"a": ["x"]}, "is Int64 in frame 1 and String in frame 3"), ({"b": [1]}, "lacks 'a' and has 'b', which frame 1 lacks")]
)
def test_frames_of_other_columns_are_not_put_together(other: dict[str, list[object]], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        dr.concat([dr.frame({"a": [1]}), dr.frame({"a": [2]}), dr.frame(other)])


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(r).encode() + b"\n" for r in rows)


def test_columns_of_json_are_found_in_all_rows_of_all_files(tmp_path: Path) -> None:
    many = [{"a": 1}] * 150
    (tmp_path / "1.ndjson").write_bytes(lines(*many, {"a": 1.5, "late": {"q": 1}}))
    (tmp_path / "2.ndjson").write_bytes(lines({"a": "x", "z": 3}))
    (tmp_path / "1.json").write_text(json.dumps([*many, {"a": 1.5, "late": "q"}]))
    found = dr.scan_ndjson([tmp_path / "1.ndjson", tmp_path / "2.ndjson"]).collect()
    assert found.columns == ["a", "late", "z"]
    assert found.tail(2).to_dicts() == [{"a": "1.5", "late": {"q": 1}, "z": None}, {"a": "x", "late": None, "z": 3}]
    assert dr.scan_json(tmp_path / "1.json").collect().tail(1).to_dicts() == [{"a": 1.5, "late": "q"}]
    few = dr.scan_ndjson(tmp_path / "1.ndjson", infer_schema_length=10, row_index_name="i", n_rows=3)
    assert few.columns == ["i", "a"]
    both = dr.scan_ndjson([tmp_path / "1.ndjson", tmp_path / "2.ndjson"], row_index_name="i", include_file_paths="of").collect()
    assert both.columns == ["i", "a", "late", "z", "of"]
    assert both["i"].to_list() == list(range(152))


def test_lines_that_are_to_be_passed_over_are() -> None:
    Path("some.ndjson").write_text('{"a": 1}\n' * 150 + "xx\n")
    assert dr.scan_ndjson("some.ndjson", ignore_errors=True).columns == ["a"]
    with pytest.raises(PlanError, match=r"some\.ndjson"):
        dr.scan_ndjson("some.ndjson")


def test_only_files_with_late_columns_have_another_key_than_they_had(tmp_path: Path) -> None:
    """Rows that were kept while late columns were left out must not be found for rows that have them."""
    early, late = tmp_path / "early.ndjson", tmp_path / "late.ndjson"
    early.write_bytes(lines(*[{"a": 1}] * 150))
    late.write_bytes(lines(*[{"a": 1}] * 150, {"a": 1, "z": 2}))
    from dreamframe.identity.fingerprint import file_digest, fingerprint

    assert dr.scan_ndjson(early).step.content({}) == fingerprint([file_digest(early)])
    assert dr.scan_ndjson(late).step.content({}) != fingerprint([file_digest(late)])
    assert dr.scan_ndjson(late, infer_schema_length=100).step.content({}) == fingerprint([file_digest(late)])


def test_json_may_stand_in_a_field(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"version": 1, "data": [{"a": "\u00e9"}, {"a": "y", "b": 2}]}')
    frame = dr.scan_json(tmp_path / "x.json", field="data")
    assert frame.collect().to_dicts() == [{"a": "é", "b": None}, {"a": "y", "b": 2}]
    again = dr.from_json(frame.to_json(), allow=[str(tmp_path)])
    assert again.step.key({}) == frame.step.key({})
