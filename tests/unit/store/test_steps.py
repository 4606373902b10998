"""Step outputs: committed wholly, found by their whole key, damaged ones set aside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
import xxhash

from dreamframe.errors import CorruptFileError, StorageError
from dreamframe.store import steps
from dreamframe.store.files import Files
from dreamframe.store.layout import sealed
from dreamframe.store.steps import StepOutputs
from dreamframe.store.stores import Stores, stores_on
from tests.storing import opened, step_key, store_step, table_of, warned


def entry(folder: Path) -> Path:
    (found,) = (p for p in (folder / "steps").iterdir())
    return found


def found_text(stores: Stores, n: int) -> list[str] | None:
    assert stores.steps is not None
    found = stores.steps.find(step_key(n))
    return None if found is None else found.rows()["text"].to_list()


def test_a_committed_output_is_found_by_the_next_session(tmp_path: Path) -> None:
    with opened(tmp_path) as stores:
        assert store_step(stores, 1, table_of(5)).equals(table_of(5))
    with opened(tmp_path) as stores:
        assert stores.steps is not None
        found = stores.steps.find(step_key(1))
        assert found is not None
        assert found.rows().equals(table_of(5))
        assert found.record["rows"] == 5
        assert found.record["describe"] == "summary"
        assert found.record["data_xxh3_128"] == xxhash.xxh3_128_hexdigest((entry(tmp_path) / "data.arrow").read_bytes())
    assert entry(tmp_path).name == f"summary-{step_key(1)[:12]}"


def test_rows_are_memory_mapped(tmp_path: Path) -> None:
    with opened(tmp_path) as stores:
        store_step(stores, 1, table_of(100_000))
        before = pa.total_allocated_bytes()
        assert stores.steps is not None
        found = stores.steps.find(step_key(1))
        assert found is not None
        assert found.rows()["text"][99_999] == "row 99999"
        assert pa.total_allocated_bytes() - before < 100_000


def test_nothing_is_visible_before_the_commit(tmp_path: Path) -> None:
    with opened(tmp_path) as stores:
        assert stores.steps is not None
        writer = stores.steps.writer(step_key(1), "summary", table_of(1).schema)
        writer.write(table_of(5))
        assert stores.steps.find(step_key(1)) is None
        assert stores.steps.all() == []
        writer.abort()
    assert not list((tmp_path / "steps").iterdir())


def test_a_discarded_output_gives_its_rows_and_keeps_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as stores:
        assert stores.steps is not None
        writer = stores.steps.writer(step_key(1), "summary", table_of(1).schema)
        writer.write(table_of(5))
        writer.write(table_of(2))
        rows = writer.discard()
        assert rows.equals(pl.concat([table_of(5), table_of(2)]))
        assert stores.steps.find(step_key(1)) is None
    assert not list((tmp_path / "steps").iterdir())


def test_the_first_writer_wins_and_the_second_adopts_its_rows(tmp_path: Path) -> None:
    with opened(tmp_path) as stores, opened(tmp_path) as other:
        assert stores.steps is not None
        assert other.steps is not None
        slow = stores.steps.writer(step_key(1), "summary", table_of(1).schema)
        slow.write(table_of(3, said="slow"))
        assert store_step(other, 1, table_of(3, said="fast"), label="another name").equals(table_of(3, said="fast"))
        assert slow.commit({}).rows().equals(table_of(3, said="fast"))
        assert len(list((tmp_path / "steps").iterdir())) == 1


def test_keys_are_compared_in_full(tmp_path: Path) -> None:
    """The folder name shows 12 of 32 digits."""
    one, two = "a" * 12 + "1" * 20, "a" * 12 + "2" * 20
    with opened(tmp_path) as stores:
        assert stores.steps is not None
        for key, said in ((one, "one"), (two, "two")):
            writer = stores.steps.writer(key, "summary", table_of(1).schema)
            writer.write(table_of(2, said=said))
            assert writer.commit({}).rows().equals(table_of(2, said=said))
    with opened(tmp_path) as stores, warned() as said_aloud:
        assert stores.steps is not None
        for key, said in ((one, "one"), (two, "two")):
            found = stores.steps.find(key)
            assert found is not None
            assert found.rows().equals(table_of(2, said=said))
        assert stores.steps.find("a" * 12 + "3" * 20) is None
    assert said_aloud == []


def test_a_renamed_step_is_found(tmp_path: Path) -> None:
    with opened(tmp_path) as stores:
        store_step(stores, 1, table_of(2), label="old name")
        store_step(stores, 1, table_of(2, said="never kept"), label="new name")
        assert found_text(stores, 1) == ["row 0", "row 1"]


@pytest.mark.parametrize("in_memory", [0, steps.IN_MEMORY], ids=["read back", "in memory"])
def test_all_types_of_a_frame_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int) -> None:
    frame = pl.DataFrame(
        {
            "i": [1, 2, None],
            "category": pl.Series(["x", "y", None], dtype=pl.Categorical),
            "enum": pl.Series(["x", "y", "x"], dtype=pl.Enum(["x", "y"])),
            "list": pl.Series([["x"], ["y", "z"], None], dtype=pl.List(pl.Categorical)),
            "struct": [{"q": 1.5, "s": "a"}, None, {"q": 2.0, "s": None}],
            "vector": pl.Series([[1.0, 2.0], None, [3.0, 4.0]], dtype=pl.Array(pl.Float32, 2)),
            "null": [None, None, None],
            "bytes": [b"a", b"", None],
            "when": pl.Series([0, None, 1], dtype=pl.Datetime("us", "UTC")),
            "decimal": pl.Series(["1.50", None, "2.25"]).cast(pl.Decimal(10, 2)),
            "big": pl.Series([2**100, None, -1], dtype=pl.Int128),
            "half": pl.Series([0.5, None, -2.0], dtype=pl.Float16),
            "day": pl.Series([0, None, 20_000], dtype=pl.Date),
            "took": pl.Series([1, None, 3], dtype=pl.Duration("ms")),
        }
    )
    monkeypatch.setattr(steps, "IN_MEMORY", in_memory)
    with opened(tmp_path) as stores:
        assert stores.steps is not None
        writer = stores.steps.writer(step_key(1), "all types", frame.schema)
        writer.write(frame)
        writer.write(frame.reverse())  # with dictionaries of another order
        stored = writer.commit({}).rows().cast(dict(frame.schema))  # type: ignore[arg-type]
    assert stored.equals(pl.concat([frame, frame.reverse()]), null_equal=True)


def test_a_record_of_any_plain_values_is_kept_as_it_is(tmp_path: Path) -> None:
    record = {"nested": {"2": [1, None, True], "10": 1.5}, "by number": {10: "a", 2: "b"}, "pair": (1, 2), "text": "é\ud800\n", "path": Path("x")}
    with opened(tmp_path) as stores:
        assert stores.steps is not None
        stores.steps.writer(step_key(1), "summary", table_of(1).schema).commit(record)
    with opened(tmp_path) as stores:
        assert stores.steps is not None
        found = stores.steps.find(step_key(1))
        assert found is not None
        assert {k: found.record[k] for k in record} == {**record, "by number": {"10": "a", "2": "b"}, "pair": [1, 2], "path": "x"}


def test_rows_of_several_writes_are_one_stream(tmp_path: Path) -> None:
    rows = pl.DataFrame({"n": range(40_000)}).with_columns(text=pl.col("n").cast(pl.String), none=None)
    with opened(tmp_path) as stores:
        assert stores.steps is not None
        writer = stores.steps.writer(step_key(1), "summary", rows.schema)
        for part in (rows.head(3), rows.slice(3, 0), rows.slice(3, 30_000), rows.slice(30_003)):
            writer.write(part)
        assert writer.commit({}).rows().equals(rows)
    with opened(tmp_path) as stores:
        assert stores.steps is not None
        found = stores.steps.find(step_key(1))
        assert found is not None
        assert found.rows().equals(rows)


def test_what_the_disk_gives_back_otherwise_is_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with warned() as said, opened(tmp_path) as stores:
        assert stores.steps is not None
        writer = stores.steps.writer(step_key(1), "summary", table_of(1).schema)
        writer.write(table_of(4))
        rename = Files.rename_dir

        def rename_and_flip(self: Files, source: Path, target: Path) -> bool:
            flip(source / "data.arrow")
            return rename(self, source, target)

        monkeypatch.setattr(Files, "rename_dir", rename_and_flip)
        with pytest.raises(StorageError, match="cannot be read back"):
            writer.commit({})
    assert len(said) >= 1


def test_no_rows_and_no_columns_are_outputs_too(tmp_path: Path) -> None:
    with opened(tmp_path) as stores:
        assert store_step(stores, 1, table_of(0)).equals(table_of(0))
        assert store_step(stores, 2, pl.DataFrame()).width == 0


def test_all_lists_manifests_oldest_first_without_reading_rows(tmp_path: Path) -> None:
    with opened(tmp_path) as stores:
        store_step(stores, 1, table_of(1), label="b")
        store_step(stores, 2, table_of(2), label="a")
        for path in (tmp_path / "steps").glob("*/data.arrow"):
            path.unlink()
        assert stores.steps is not None
        assert sorted((r["label"], r["rows"]) for r in stores.steps.all()) == [("a", 2), ("b", 1)]


@pytest.mark.parametrize("key", ["", "../../etc", "A" * 32, "a" * 31, "a" * 33, "g" * 32])
def test_a_key_is_32_hexadecimal_digits(tmp_path: Path, key: str) -> None:
    with opened(tmp_path) as stores, pytest.raises(CorruptFileError, match="32 hexadecimal"):
        StepOutputs.find(stores.steps, key)  # type: ignore[arg-type]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def craft(folder: Path) -> None:
    """Wrong offsets under a right checksum."""
    data = bytearray((folder / "data.arrow").read_bytes())
    at = data.index((5).to_bytes(8, "little") + (10).to_bytes(8, "little"))
    data[at : at + 8] = (1 << 40).to_bytes(8, "little")
    (folder / "data.arrow").write_bytes(data)
    manifest = json.loads((folder / "step.json").read_text())
    (folder / "step.json").write_bytes(sealed({**manifest, "data_xxh3_128": xxhash.xxh3_128_hexdigest(bytes(data))}))


def edit(folder: Path, *, seal: bool = True, **fields: object) -> None:
    manifest = {**json.loads((folder / "step.json").read_text()), **fields}
    (folder / "step.json").write_bytes(sealed(manifest) if seal else json.dumps(manifest).encode())


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a flipped bit in the rows": lambda f: flip(f / "data.arrow"),
    "a cut file": lambda f: (f / "data.arrow").write_bytes((f / "data.arrow").read_bytes()[:-9]),
    "an empty file": lambda f: (f / "data.arrow").write_bytes(b""),
    "no rows file": lambda f: (f / "data.arrow").unlink(),
    "no manifest": lambda f: (f / "step.json").unlink(),
    "an empty manifest": lambda f: (f / "step.json").write_bytes(b""),
    "a manifest that is a list": lambda f: (f / "step.json").write_text("[]"),
    "a manifest of nested brackets": lambda f: (f / "step.json").write_text("[" * 100_000),
    "a manifest without a checksum": lambda f: edit(f, seal=False, checksum=None),
    "a changed manifest": lambda f: edit(f, seal=False, label="other"),
    "a manifest with another key": lambda f: edit(f, seal=False, key=step_key(2)),
    "another number of rows": lambda f: edit(f, rows=7),
    "crafted offsets": craft,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_output_is_set_aside_with_one_warning_and_made_again(tmp_path: Path, how: str) -> None:
    with opened(tmp_path) as stores:
        store_step(stores, 1, table_of(5))
    DAMAGE[how](entry(tmp_path))
    with warned() as said, opened(tmp_path) as stores:
        assert found_text(stores, 1) is None
        assert found_text(stores, 1) is None
        assert store_step(stores, 1, table_of(5, said="again")).equals(table_of(5, said="again"))
    assert len(said) == 1
    assert len(list((tmp_path / "set-aside").iterdir())) == 1


def test_an_output_that_was_removed_meanwhile_is_a_miss(tmp_path: Path) -> None:
    with opened(tmp_path) as stores:
        rows = store_step(stores, 1, table_of(5))
        Files(tmp_path).remove_tree(entry(tmp_path))
        assert found_text(stores, 1) is None
        assert rows.equals(table_of(5))  # still mapped


def test_an_aborted_writer_leaves_room_for_the_next(tmp_path: Path) -> None:
    stores = stores_on(Files(tmp_path))
    assert stores.steps is not None
    writer = stores.steps.writer(step_key(1), "summary", table_of(1).schema)
    with pytest.raises(pl.exceptions.PolarsError):
        writer.write(pl.DataFrame({"n": ["no number"], "text": ["x"]}))
    writer.abort()
    writer.abort()
    assert store_step(stores, 1, table_of(3)).height == 3
    stores.answers.close()


def test_a_step_that_is_copied_under_the_name_of_another_is_not_taken_for_it(tmp_path: Path) -> None:
    with opened(tmp_path) as stores:
        store_step(stores, 1, table_of(5))
    other = tmp_path / "steps" / f"summary-{step_key(2)[:12]}"
    shutil.copytree(entry(tmp_path), other)
    with opened(tmp_path) as stores:
        assert found_text(stores, 2) is None
        assert found_text(stores, 1) == [f"row {i}" for i in range(5)]
        assert [(p.path, p.what) for p in stores.verify()] == [(f"steps/{other.name}", "its name is that of another key")]
        assert store_step(stores, 2, table_of(3)).height == 3
    with opened(tmp_path) as stores:
        assert found_text(stores, 2) == [f"row {i}" for i in range(3)]
