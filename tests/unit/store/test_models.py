"""Trained models: a folder that survives kills while training, and is committed wholly."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dreamframe.errors import CorruptFileError, StorageError
from dreamframe.store.files import Files
from dreamframe.store.layout import open_folder
from dreamframe.store.models import Models
from tests.storing import step_key, warned


def models_in(folder: Path) -> Models:
    files = Files(folder)
    return Models(files, open_folder(files))


def trained(models: Models, n: int, *, weights: bytes = b"weights", label: str = "SFT") -> Path:
    """Train a model: the folder of its work, with the finished artefact in `out`."""
    workdir = models.workdir(step_key(n), label)
    (workdir / "checkpoints").mkdir(exist_ok=True)
    (workdir / "checkpoints" / "optimizer.pt").write_bytes(b"pickle")
    (workdir / "out" / "tokenizer").mkdir(parents=True, exist_ok=True)
    (workdir / "out" / "adapter.safetensors").write_bytes(weights)
    (workdir / "out" / "tokenizer" / "vocab.json").write_text("{}")
    return workdir / "out"


def commit(models: Models, n: int, **settings: object) -> Path:
    return models.commit(step_key(n), "SFT", trained(models, n, **settings), {"loss": 0.5})  # type: ignore[arg-type]


def test_a_committed_model_is_found_by_the_next_session(tmp_path: Path) -> None:
    folder = commit(models_in(tmp_path), 1)
    again = models_in(tmp_path)
    assert again.find(step_key(1)) == folder
    assert folder.name == f"SFT-{step_key(1)[:12]}"
    record = again.record(step_key(1))
    assert record["loss"] == 0.5
    assert sorted(record["files"]) == ["adapter.safetensors", "tokenizer/vocab.json"]
    assert record["files"]["adapter.safetensors"]["bytes"] == 7
    assert [r["key"] for r in again.all()] == [step_key(1)]


def test_nothing_is_visible_before_the_commit_and_no_workdir_after_it(tmp_path: Path) -> None:
    models = models_in(tmp_path)
    out = trained(models, 1)
    assert models.find(step_key(1)) is None
    assert models.all() == []
    models.commit(step_key(1), "SFT", out, {})
    assert len(list((tmp_path / "models").iterdir())) == 1


def test_checkpoints_outlive_the_process(tmp_path: Path) -> None:
    """A child trains, saves a checkpoint and is killed; the next training works in the same folder."""
    code = f"from pathlib import Path; from tests.unit.store.test_models import *; print(trained(models_in(Path({str(tmp_path)!r})), 1).parent); os._exit(9)"
    ended = subprocess.run([sys.executable, "-u", "-c", "import os; " + code], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert ended.returncode == 9, ended.stderr
    workdir = models_in(tmp_path).workdir(step_key(1), "SFT")
    assert str(workdir) == ended.stdout.strip()
    assert (workdir / "checkpoints" / "optimizer.pt").exists()


def leave(folder: Path) -> Path:
    """A training that was interrupted: its work folder."""
    models = models_in(folder)
    workdir = trained(models, 1).parent
    models.close()
    return workdir


@pytest.mark.parametrize("move", ["the session", "its disk"])
def test_a_training_goes_on_where_its_session_was_moved(move: str, tmp_path: Path) -> None:
    leave(tmp_path / "a")
    if move == "the session":
        (tmp_path / "a").rename(tmp_path / "b")
    else:
        (tmp_path / "disk").mkdir()
        (tmp_path / "a").rename(tmp_path / "disk" / "a")
        (tmp_path / "disk").rename(tmp_path / "b")
    folder = tmp_path / "b" if move == "the session" else tmp_path / "b" / "a"
    with warned() as said:
        workdir = models_in(folder).workdir(step_key(1), "SFT")
    assert (workdir / "checkpoints" / "optimizer.pt").exists()
    assert said == []


COPIES: dict[str, Callable[[Path, Path], object]] = {
    "copied": shutil.copytree,
    "copied with its times": lambda a, b: subprocess.run(["cp", "-a", str(a), str(b)], check=True),
    "unpacked": lambda a, b: shutil.unpack_archive(shutil.make_archive(str(b.parent / "x"), "tar", a), b),
    "only the checkpoints": lambda a, b: shutil.copytree(a, b, ignore=shutil.ignore_patterns("begun.json", ".lock")),
    "without its mark": lambda a, b: shutil.copytree(a, b, ignore=shutil.ignore_patterns("begun.json")),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_training_begins_anew_where_its_folder_was_copied(how: str, tmp_path: Path) -> None:
    leave(tmp_path / "a")
    COPIES[how](tmp_path / "a", tmp_path / "b")
    models = models_in(tmp_path / "b")
    with warned() as said:
        workdir = models.workdir(step_key(1), "SFT")
        assert models.workdir(step_key(1), "SFT") == workdir
    assert sorted(p.name for p in workdir.iterdir()) == [".lock", "begun.json"]
    assert len(said) == 1
    assert "may be a copy" in said[0]
    assert (models_in(tmp_path / "a").workdir(step_key(1), "SFT") / "checkpoints" / "optimizer.pt").exists()


def test_a_forged_mark_is_not_believed(tmp_path: Path) -> None:
    workdir = leave(tmp_path / "a")
    for forged in (b"{}", b'{"numbers": null}', b'{"numbers": [1, 2]}', b"[" * 10_000, b""):
        (workdir / "begun.json").write_bytes(forged)
        models = models_in(tmp_path / "a")
        with warned() as said:
            assert not (models.workdir(step_key(1), "SFT") / "checkpoints").exists()
        assert len(said) == 1
        models.close()
        leave(tmp_path / "a")


def test_two_trainings_of_one_model_work_in_two_folders(tmp_path: Path) -> None:
    first, second = models_in(tmp_path), models_in(tmp_path)
    one, two = trained(first, 1, weights=b"one"), trained(second, 1, weights=b"two")
    assert one != two
    folder = second.commit(step_key(1), "SFT", two, {})
    assert first.commit(step_key(1), "SFT", one, {}) == folder
    assert (folder / "adapter.safetensors").read_bytes() == b"two"
    assert len(list((tmp_path / "models").iterdir())) == 1


def test_a_model_without_a_record_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="collect or fit it first"):
        models_in(tmp_path).record(step_key(1))


def test_pickles_are_not_kept(tmp_path: Path) -> None:
    models = models_in(tmp_path)
    out = trained(models, 1)
    (out / "training_args.bin").write_bytes(b"\x80\x04.")
    with warned() as said:
        folder = models.commit(step_key(1), "SFT", out, {})
    assert not (folder / "training_args.bin").exists()
    assert "pickle" in said[0]


DAMAGE: dict[str, Callable[[Path], object]] = {
    "other weights": lambda f: (f / "adapter.safetensors").write_bytes(b"Weights"),
    "cut weights": lambda f: (f / "adapter.safetensors").write_bytes(b"weight"),
    "a missing file": lambda f: (f / "tokenizer" / "vocab.json").unlink(),
    "a file more": lambda f: (f / "chat_template.jinja").write_text("{{ x }}"),
    "a pickle": lambda f: (f / "pytorch_model.bin").write_bytes(b"\x80\x04."),
    "folders without end": lambda f: (f / "/".join("a" * 60)).mkdir(parents=True),
    "a link": lambda f: (f / "tokenizer" / "more.json").symlink_to("/etc/passwd"),
    "no manifest": lambda f: (f / "training.json").unlink(),
    "a manifest of nothing": lambda f: (f / "training.json").write_text("{}"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_model_is_set_aside_with_one_warning(tmp_path: Path, how: str) -> None:
    folder = commit(models_in(tmp_path), 1)
    DAMAGE[how](folder)
    with warned() as said:
        models = models_in(tmp_path)
        assert models.find(step_key(1)) is None
        assert models.find(step_key(1)) is None
        assert commit(models, 1) == folder
    assert len(said) == 1
    assert len(list((tmp_path / "set-aside").iterdir())) == 1


def test_a_pickle_is_refused_even_if_the_manifest_lists_it(tmp_path: Path) -> None:
    folder = commit(models_in(tmp_path), 1)
    (folder / "weights.pt").write_bytes((folder / "adapter.safetensors").read_bytes())
    record = json.loads((folder / "training.json").read_text())
    record["files"]["weights.pt"] = record["files"]["adapter.safetensors"]
    (folder / "training.json").write_text(json.dumps(record))
    with warned() as said:
        assert models_in(tmp_path).find(step_key(1)) is None
    assert "pickle" in said[0]


def test_a_record_that_was_changed_by_hand_costs_no_training(tmp_path: Path) -> None:
    folder = commit(models_in(tmp_path), 1)
    record = json.loads((folder / "training.json").read_text())
    (folder / "training.json").write_text(json.dumps({**record, "license": "mit"}))
    with warned() as said:
        models = models_in(tmp_path)
        assert models.find(step_key(1)) == folder
        assert models.record(step_key(1))["license"] == "mit"
    assert len(said) == 1
    assert "changed after the training" in said[0]


def test_an_artefact_with_a_link_is_not_committed(tmp_path: Path) -> None:
    models = models_in(tmp_path)
    out = trained(models, 1)
    (out / "base").symlink_to("/")
    with pytest.raises(CorruptFileError, match="links are not followed"):
        models.commit(step_key(1), "SFT", out, {})
