"""Conversations of several turns, with images by bytes, path or address."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from tests.unit.prompts.asked import asked, failed

PNG = b"\x89PNG\r\n\x1a\n tiny"
IMAGES = {"png": PNG, "jpeg": b"\xff\xd8\xff tiny", "gif": b"GIF89a tiny", "webp": b"RIFF1234WEBP tiny"}
SEE = dr.Chat([("user", "What is on it, in {language}?")], images="image")


def url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def parts(prompt: str) -> list[Any]:
    return list(json.loads(prompt)[-1]["content"])


def test_the_turns_are_filled_and_sent_in_order():
    talk = dr.Chat([("system", "Be a {role}."), ("user", "{q}"), ("assistant", "Sure: {{}}"), ("user", "Again, {role}: {q}")])
    (prompt,) = asked({"role": ["cook"], "q": ["tea?"]}, talk)
    assert json.loads(prompt) == [
        {"role": "system", "content": "Be a cook."},
        {"role": "user", "content": "tea?"},
        {"role": "assistant", "content": "Sure: {}"},
        {"role": "user", "content": "Again, cook: tea?"},
    ]


def test_a_system_prompt_of_the_row_comes_after_that_of_the_verb():
    llm = dr.testing.Echo()
    with dr.Session(None):
        dr.frame({"r": ["cook"]}).prompt(llm, dr.Chat([("system", "Be a {r}."), ("user", "Hi")]), system="Be kind.").collect()
    assert [m["content"] for m in llm.log.requests[0].messages()] == ["Be kind.", "Be a cook.", "Hi"]


def test_a_null_anywhere_is_not_asked_about():
    assert asked({"language": ["German", None, "Tamil"], "image": [None, PNG, PNG]}, SEE) == asked({"language": ["Tamil"], "image": [PNG]}, SEE)


@pytest.mark.parametrize("kind", IMAGES)
def test_an_image_by_its_bytes(kind: str):
    (prompt,) = asked({"language": ["German"], "image": [IMAGES[kind]]}, SEE)
    assert parts(prompt) == [
        {"type": "text", "text": "What is on it, in German?"},
        {"type": "image_url", "image_url": {"url": url(IMAGES[kind], kind)}},
    ]


def test_an_image_as_the_datasets_library_holds_it(tmp_path: Path):
    (tmp_path / "picture").write_bytes(IMAGES["gif"])
    held = [{"bytes": PNG, "path": "anywhere.png"}, {"bytes": None, "path": str(tmp_path / "picture")}, {"bytes": None, "path": None}, None]
    prompts = asked({"language": ["a"] * 4, "image": held}, SEE)
    assert [parts(p)[1]["image_url"]["url"] for p in prompts] == [url(PNG), url(IMAGES["gif"], "gif")]
    with pytest.raises(dr.errors.SchemaError, match="give bytes, URLs or paths"):
        dr.frame({"language": ["a"], "image": [{"b": PNG}]}).prompt(dr.testing.Echo(), SEE)


def test_an_image_by_its_path(tmp_path: Path):
    (tmp_path / "picture").write_bytes(PNG)
    (prompt,) = asked({"language": ["German"], "image": [str(tmp_path / "picture")]}, SEE)
    assert parts(prompt)[1]["image_url"] == {"url": url(PNG)}


@pytest.mark.parametrize("address", ["https://example.org/a.png", "http://example.org/a.png", url(PNG)], ids=["https", "http", "data"])
def test_an_image_by_its_address(address: str):
    (prompt,) = asked({"language": ["German"], "image": [address]}, SEE)
    assert parts(prompt)[1]["image_url"] == {"url": address}


def test_several_images_go_with_the_last_turn():
    talk = dr.Chat([("user", "Look."), ("assistant", "Yes?"), ("user", "Compare.")], images=["a", "b"])
    (prompt,) = asked({"a": [PNG], "b": ["https://example.org/b.png"]}, talk)
    assert [p["type"] for p in parts(prompt)] == ["text", "image_url", "image_url"]
    assert json.loads(prompt)[0]["content"] == "Look."


def test_a_changed_file_is_asked_about_again_and_a_moved_one_is_not(tmp_path: Path):
    llm = dr.testing.Echo()

    def look(path: Path) -> None:
        with dr.Session(tmp_path / "session"):
            dr.frame({"language": ["German"], "image": [str(path)]}).prompt(llm, SEE).with_columns(n=1).select("answer", "n").collect()

    (tmp_path / "a.png").write_bytes(PNG)
    look(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    look(tmp_path / "b.png")
    assert llm.calls == 1
    (tmp_path / "b.png").write_bytes(PNG + b" of another day")
    look(tmp_path / "b.png")
    assert llm.calls == 2


@pytest.mark.parametrize("kind", ["missing file", "folder", "no image", "empty"])
def test_an_image_that_cannot_be_shown_is_a_failed_row_and_the_others_are_asked(kind: str, tmp_path: Path):
    (tmp_path / "good.png").write_bytes(PNG)
    (tmp_path / "text.png").write_bytes(b"not an image")
    (tmp_path / "empty.png").write_bytes(b"")
    bad = {"missing file": "gone.png", "folder": "", "no image": "text.png", "empty": "empty.png"}[kind]
    rows = {"language": ["German", "Tamil", "French"], "image": [str(tmp_path / n) for n in ("good.png", bad, "good.png")]}
    llm = dr.testing.Echo()
    with dr.Session(None):
        df = dr.frame(rows).prompt(llm, SEE, on_error="null")
        assert [a is None for a in df.collect()["answer"]] == [False, True, False]
        assert df.failures()["row"].to_list() == [1]
    assert llm.calls == 2
    with dr.Session(None), pytest.raises(dr.errors.RowsFailedError, match="1 of 3 rows failed"):
        dr.frame(rows).prompt(llm, SEE).collect()


def test_the_failure_of_a_missing_image_names_the_file(tmp_path: Path):
    found = failed({"language": ["German"], "image": ["gone.png"]}, SEE)
    assert "gone.png" in found[0]


WRONG = {
    "role": (lambda: dr.Chat([("robot", "Hi")]), dr.errors.SettingError, "'robot' is not one of"),
    "last turn": (lambda: dr.Chat([("user", "Hi"), ("assistant", "Hello")]), dr.errors.SettingError, "last turn must be the user's"),
    "no turn": (lambda: dr.Chat([]), dr.errors.SettingError, "last turn must be the user's"),
    "template": (lambda: dr.Chat([("user", "{a")]), dr.errors.TemplateError, "is not closed"),
    "column": (lambda: dr.frame({"a": ["x"]}).prompt(dr.testing.Echo(), dr.Chat([("user", "{b}")])), dr.errors.ColumnNotFoundError, "no column 'b'"),
    "image": (lambda: dr.frame({"language": ["x"]}).prompt(dr.testing.Echo(), SEE), dr.errors.ColumnNotFoundError, "no column 'image'"),
    "kind of image": (lambda: dr.frame({"language": ["x"], "image": [1]}).prompt(dr.testing.Echo(), SEE), dr.errors.SchemaError, "give bytes, URLs or paths"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_fails_on_its_line(case: str):
    make, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        make()
