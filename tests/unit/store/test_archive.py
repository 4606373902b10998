"""A session as one file: deterministic, whole, replayed without a call; and archives of strangers that can do nothing."""

import io
import tarfile
from pathlib import Path

import pytest

import dreamframe as dr
from dreamframe.errors import CorruptFileError, OfflineError, SettingError
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
    assert {n.split("/")[0] for n in names} == {"session.json", "answers", "steps", "runs", "plans", "sources"}
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
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_member_is_refused_and_nothing_leaves_the_folder(kind: str, tmp_path: Path):
    archive, folder = tmp_path / "evil.tar", tmp_path / "in" / "session"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(HOSTILE[kind], io.BytesIO(b""))
    with pytest.raises(CorruptFileError, match="no plain file"):
        dr.Session.load(archive, folder)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["evil.tar", "in", "session"]
    assert not Path("/tmp/outside-of-dreamframe").exists()


def test_impossible_archives_are_refused(tmp_path: Path):
    run(tmp_path / "a")
    with dr.Session(tmp_path / "a") as session:
        with pytest.raises(SettingError, match=r"\.tar\.zst"):
            session.export(tmp_path / "run.zip")
        whole = session.export(tmp_path / "run.tar.gz")
    whole.write_bytes(whole.read_bytes()[:200])
    with pytest.raises(CorruptFileError, match="no whole archive"):
        dr.Session.load(whole, tmp_path / "b")
    with pytest.raises(SettingError, match="not empty"):
        dr.Session.load(whole, tmp_path / "a")
    with pytest.raises(SettingError, match="in memory"):
        dr.Session(None).export(tmp_path / "run.tar")
