"""A session as one file: deterministic, whole, replayed without a call; and archives of strangers that can do nothing."""

import io
import tarfile
import tracemalloc
from pathlib import Path

import pytest

import dreamframe as dr
from dreamframe.errors import CorruptFileError, OfflineError, SessionFormatError, SettingError
from dreamframe.store import archive as archives
from dreamframe.store.layout import SessionWarning, sealed
from dreamframe.testing import Echo


def run(folder: Path, *, offline: bool = False, rows: int = 20) -> tuple[int, list[str]]:
    llm = Echo()
    with dr.Session(folder, offline=offline):
        made = dr.frame({"i": range(rows)}).prompt(llm, "Say {i}", into="said").prompt(llm, "Again {said}", into="again").collect()
    return llm.calls, made["again"].to_list()


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.zst"])
def test_a_loaded_session_replays_every_row_offline(suffix: str, tmp_path: Path):
    _, rows = run(tmp_path / "a")
    with dr.Session(tmp_path / "a") as session:
        archive = session.export(tmp_path / f"run{suffix}")
    dr.Session.load(archive, tmp_path / "b").close()
    assert run(tmp_path / "b", offline=True) == (0, rows)


def test_a_session_goes_without_its_models_and_replays_its_rows(tmp_path: Path):
    _, rows = run(tmp_path / "a")
    weights = tmp_path / "a" / "models" / "sft-0123456789ab" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"x" * 1000)
    with dr.Session(tmp_path / "a") as session:
        written = [session.export(tmp_path / f"{m}.tar", models=m) for m in (True, False)]
    names = []
    for archive in written:
        with tarfile.open(archive) as tar:
            names.append(tar.getnames())
    assert [n for n in names[0] if n not in names[1]] == ["models/sft-0123456789ab/model.safetensors"]
    dr.Session.load(tmp_path / "False.tar", tmp_path / "b").close()
    assert run(tmp_path / "b", offline=True) == (0, rows)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.zst"])
def test_the_same_session_gives_the_same_bytes(suffix: str, tmp_path: Path):
    run(tmp_path / "a")
    session = dr.Session(tmp_path / "a")
    one, two = (session.export(tmp_path / f"{n}{suffix}") for n in ("one", "two"))
    session.close()
    assert one.read_bytes() == two.read_bytes()


def test_what_is_missing_is_said(tmp_path: Path):
    run(tmp_path / "a", rows=19)
    with dr.Session(tmp_path / "a") as session:
        archive = session.export(tmp_path / "run.tar")
    dr.Session.load(archive, tmp_path / "b").close()
    with pytest.raises(OfflineError, match="Say 19"):
        run(tmp_path / "b", offline=True)


def test_an_archive_holds_no_lock_and_no_hidden_file(tmp_path: Path):
    run(tmp_path / "a")
    (tmp_path / "a" / "steps" / ".half.tmp").mkdir()
    (tmp_path / "a" / "stranger.txt").write_text("not ours")
    with dr.Session(tmp_path / "a") as session, tarfile.open(session.export(tmp_path / "run.tar")) as tar:
        names = tar.getnames()
    assert {n.split("/")[0] for n in names} == {"session.json", "answers", "steps", "runs", "plans", "sources", "contents.json"}
    assert not any(part.startswith(".") for n in names for part in n.split("/"))


def member(name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


HOSTILE = {
    "parent": member("../outside"),
    "parent inside": member("answers/../../outside"),
    "absolute": member("/tmp/outside-of-dreamframe"),
    "symbolic link": member("answers/x", kind=tarfile.SYMTYPE, link="/etc/passwd"),
    "hard link": member("answers/x", kind=tarfile.LNKTYPE, link="../../outside"),
    "device": member("answers/x", kind=tarfile.CHRTYPE),
    "unknown part": member("bin/run.sh"),
    "fifo": member("runs/20260101T000000-1-ab.jsonl", kind=tarfile.FIFOTYPE),
    "folder": member("answers", kind=tarfile.DIRTYPE),
    "sparse file": member("runs/20260101T000000-1-ab.jsonl", kind=tarfile.GNUTYPE_SPARSE),
    "backslash": member("models/SFT-0123456789ab/..\\x.json"),
    "checkpoint of a training": member("models/.SFT-0123456789ab.work/checkpoints/checkpoint-1/optimizer.pt"),
    "checkpoint inside a model": member("models/SFT-0123456789ab/checkpoint-1/trainer_state.json"),
    "checkpoints inside a model": member("models/SFT-0123456789ab/checkpoints/model.safetensors"),
    "half-written journal": member("answers/.20260101T000000000000-1-abcdef01.answers.1-2.tmp"),
    "pickled weights": member("models/SFT-0123456789ab/pytorch_model.bin"),
    "pickled optimizer": member("models/SFT-0123456789ab/optimizer.PT"),
    "pickle": member("models/SFT-0123456789ab/model_head.pkl"),
    "program": member("models/SFT-0123456789ab/modeling.py"),
    "library": member("models/SFT-0123456789ab/ops.so"),
    "hidden file of a model": member("models/SFT-0123456789ab/.gitattributes"),
    "lock": member("locks/steps"),
    "batch that was submitted": member("batches/ab-cd.json"),
    "journal of another name": member("answers/x"),
    "foreign file of a step": member("steps/said-0123456789ab/notes.txt"),
    "line break in a name": member("models/SFT-0123456789ab/a\nb.json"),
    "name of a thousand folders": member("models/SFT-0123456789ab/" + "a/" * 1000 + "b.json"),
    "very long name": member("models/SFT-0123456789ab/" + "a" * 300 + ".json"),
    "name that is not text": member("models/SFT-0123456789ab/\udcff.json"),
    "empty name": member(""),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_member_is_refused_and_nothing_leaves_the_folder(kind: str, tmp_path: Path):
    archive, folder = tmp_path / "evil.tar", tmp_path / "in" / "session"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        tar.addfile(HOSTILE[kind], io.BytesIO(b""))
    with pytest.raises(CorruptFileError, match=r"not a plain file|a header is damaged|a pax header"):
        dr.Session.load(archive, folder)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["evil.tar", "in"]
    assert not Path("/tmp/outside-of-dreamframe").exists()


MODEL = "models/SFT-0123456789ab"
COLLIDING = {
    "in case": (f"{MODEL}/Config.json", f"{MODEL}/config.json"),
    "composed and decomposed": (f"{MODEL}/caf\u00e9.json", f"{MODEL}/cafe\u0301.json"),
    "a file and a folder": (f"{MODEL}/a.json", f"{MODEL}/a.json/b.json"),
    "a folder and a file": (f"{MODEL}/a.json/b.json", f"{MODEL}/A.json"),
}


@pytest.mark.parametrize("how", COLLIDING)
def test_names_that_are_one_to_some_disks_are_refused(how: str, tmp_path: Path):
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in COLLIDING[how]:
            tar.addfile(member(name), io.BytesIO(b""))
    with pytest.raises(CorruptFileError, match=r"one file to some disks|as a file and as a folder"):
        dr.Session.load(archive, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_an_error_late_in_an_archive_leaves_no_file_of_it(tmp_path: Path):
    archive, folder = tmp_path / "evil.tar", tmp_path / "b"
    with tarfile.open(archive, "w") as tar:
        for i in range(9):
            tar.addfile(member(f"runs/20260101T00000{i}-1-ab.jsonl"), io.BytesIO(b""))
        tar.addfile(member("../outside"), io.BytesIO(b""))
    folder.mkdir()
    for _ in range(2):  # the folder is as empty as it was
        with pytest.raises(CorruptFileError, match="nothing of it was kept"):
            dr.Session.load(archive, folder)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["b", "evil.tar"]


def test_an_archive_without_a_session_or_of_a_newer_one_is_refused(tmp_path: Path):
    with tarfile.open(tmp_path / "none.tar", "w"):
        pass
    with pytest.raises(CorruptFileError, match="not a session"):
        dr.Session.load(tmp_path / "none.tar", tmp_path / "b")
    manifest = sealed({"format": 99, "libraries": {"dreamframe": "9.9"}})
    with tarfile.open(tmp_path / "newer.tar", "w") as tar:
        info = member("session.json")
        info.size = len(manifest)
        tar.addfile(info, io.BytesIO(manifest))
    with pytest.raises(SessionFormatError, match=r"9.9"):
        dr.Session.load(tmp_path / "newer.tar", tmp_path / "b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["newer.tar", "none.tar"]


def test_a_wrong_setting_is_said_before_anything_is_written(tmp_path: Path):
    with pytest.raises(SettingError, match="batch_rows"):
        dr.Session.load(tmp_path / "none.tar", tmp_path / "b", batch_rows=0)
    assert not (tmp_path / "b").exists()


def test_an_archive_of_a_session_with_foreign_files_leaves_them_out_and_loads(tmp_path: Path):
    _, rows = run(tmp_path / "a")
    step = next((tmp_path / "a" / "steps").iterdir())
    (step / "notes.txt").write_text("mine")
    (tmp_path / "a" / "answers" / "README").write_text("mine")
    (tmp_path / "a" / "plans" / "link.json").symlink_to("/etc/passwd")
    with dr.Session(tmp_path / "a") as session, pytest.warns(SessionWarning, match=r"answers/README.*notes\.txt"):
        archive = session.export(tmp_path / "run.tar.zst")
    dr.Session.load(archive, tmp_path / "b").close()
    assert run(tmp_path / "b", offline=True) == (0, rows)


def bomb(at: Path, *, pax: bool = False, members: int = 1, size: int = 17 << 26) -> Path:
    """Some hundred kilobytes that unfold to gigabytes."""
    with at.open("wb") as raw, archives._packing(raw, archives.kind_of(at)) as packed:
        for i in range(members):
            info = member(f"runs/20260101T000000-{i}-ab.jsonl", kind=tarfile.XHDTYPE if pax else tarfile.REGTYPE)
            info.size = size
            packed.write(info.tobuf(tarfile.USTAR_FORMAT))
            for _ in range(size >> 24):
                packed.write(bytes(1 << 24))
    return at


BOMBS = {
    "a large member in .tar.zst": {"suffix": ".tar.zst"},
    "a large member in .tar.gz": {"suffix": ".tar.gz", "size": 1 << 28, "max_bytes": 1 << 27},
    "a large pax header": {"suffix": ".tar.zst", "pax": True},
    "many members": {"suffix": ".tar.zst", "members": 3000, "size": 0, "max_bytes": 10 << 20},
}


@pytest.mark.parametrize("what", BOMBS)
def test_a_bomb_is_refused_before_it_fills_the_memory_or_the_disk(what: str, tmp_path: Path):
    settings = dict(BOMBS[what])
    suffix, limit = settings.pop("suffix"), settings.pop("max_bytes", None)
    archive = bomb(tmp_path / f"bomb{suffix}", **settings)
    tracemalloc.start()
    with pytest.raises(CorruptFileError, match=r"unfolds to more than|not a plain file"):
        dr.Session.load(archive, tmp_path / "b", max_bytes=limit)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20
    assert list(tmp_path.iterdir()) == [archive]


def test_a_session_larger_than_the_limit_is_loaded_when_the_limit_is_raised(tmp_path: Path):
    run(tmp_path / "a")
    with dr.Session(tmp_path / "a") as session:
        archive = session.export(tmp_path / "run.tar")
    with pytest.raises(CorruptFileError, match="larger max_bytes="):
        dr.Session.load(archive, tmp_path / "b", max_bytes=1000)
    dr.Session.load(archive, tmp_path / "b", max_bytes=1 << 20).close()


def test_impossible_archives_are_refused(tmp_path: Path):
    run(tmp_path / "a")
    with dr.Session(tmp_path / "a") as session:
        with pytest.raises(SettingError, match=r"\.tar\.zst"):
            session.export(tmp_path / "run.zip")
        whole = session.export(tmp_path / "run.tar.gz")
    whole.write_bytes(whole.read_bytes()[:200])
    with pytest.raises(CorruptFileError, match="not a whole archive"):
        dr.Session.load(whole, tmp_path / "b")
    with pytest.raises(SettingError, match="not an empty folder"):
        dr.Session.load(whole, tmp_path / "a")
    with pytest.raises(SettingError, match="in memory"):
        dr.Session(None).export(tmp_path / "run.tar")
