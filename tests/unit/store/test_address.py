"""Addresses of sessions in buckets, and their working copies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import dreamframe as dr
from dreamframe.store.address import address_of


@pytest.mark.parametrize("text", ["./output", "/tmp/s3", "output", "C:file", "~/x", "s3"])
def test_a_folder_is_not_an_address(text: str) -> None:
    assert address_of(text) is None


@pytest.mark.parametrize("text", ["s3://bucket/a/b", "s3://bucket/a/b/", "S3://bucket/a/b"])
def test_an_address_is_one_however_it_is_written(text: str) -> None:
    assert address_of(text) == address_of(Path(text)) == address_of("s3://bucket/a/b")


def test_each_address_and_each_server_has_a_working_copy_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DREAMFRAME_CACHE", str(tmp_path))
    seen = {dr.Session(at).folder for at in ("s3://a/b", "s3://a/b/c", "gs://a/b", "s3://a/b")}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:9000")
    seen.add(dr.Session("s3://a/b").folder)
    assert len(seen) == 4
    assert all(folder is not None and folder.is_relative_to(tmp_path / "sessions") for folder in seen)
    assert not (tmp_path / "sessions").exists()


def test_a_session_in_a_folder_never_imports_what_buckets_need(tmp_path: Path) -> None:
    probe = (
        "import sys, dreamframe as dr\n"
        f"with dr.Session({str(tmp_path / 'out')!r}, progress=False):\n"
        "    dr.frame({'t': ['tea']}).prompt(dr.testing.Echo(), '{t}', into='a').collect()\n"
        "print([name for name in sys.modules if name.startswith('obstore')])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
