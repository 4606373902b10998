"""Fine-tuning behind an API, against a server on loopback that speaks to the real client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import AuthenticationError, SettingError, TrainingError
from tests.loopback.finetune import KEY, Tuning, tuning_server

ROWS = {"q": [f"question {i}" for i in range(12)], "a": [f"answer {i}" for i in range(12)]}
WHO = pytest.mark.parametrize("who", ["openai", "mistral"])


def trainer(who: str, tuning: Tuning, **settings: Any) -> Any:
    common = {"base_url": f"{tuning.address}/v1", "api_key": KEY, "poll_s": 0.01, **settings}
    return dr.OpenAIFineTune("gpt-tiny", **common) if who == "openai" else dr.MistralFineTune("mistral-tiny", **{"steps": 3, **common})


def model_of(who: str, tuning: Tuning, **settings: Any) -> dr.Model:
    return dr.frame(ROWS).train(trainer(who, tuning, **settings), prompt="q", completion="a")


@WHO
def test_a_job_is_brought_up_and_waited_for_once(who: str, tmp_path: Path) -> None:
    with tuning_server() as tuning, dr.Session(tmp_path / "s") as session:
        model = model_of(who, tuning).fit()
        folder = model.path
        assert model_of(who, tuning).path == folder
        assert session.usage()["trained"] == 1
        record = model.summary()
    name = "ft:gpt-tiny:x:ftjob-1" if who == "openai" else "ft:mistral-tiny:x:ftjob-1"
    assert json.loads((folder / "model.json").read_text())["model"] == record["model"] == name
    assert record["trained_tokens"] == 1234
    assert record["losses"] == [2.0, 2.0 / 3]
    assert tuning.count("POST /files") == tuning.count("POST /fine_tuning/jobs") == 1
    lines = [json.loads(line) for line in next(iter(tuning.contents.values())).splitlines()]
    assert lines[3] == {"messages": [{"role": "user", "content": "question 3"}, {"role": "assistant", "content": "answer 3"}]}
    assert KEY not in "".join(f.read_text(errors="replace") for f in (tmp_path / "s").rglob("*") if f.is_file())


def test_the_tuned_model_answers_as_an_edge_of_the_plan(tmp_path: Path) -> None:
    with tuning_server() as tuning, dr.Session(tmp_path / "s") as session:
        llm = model_of("openai", tuning).llm(temperature=0)
        asked = dr.frame({"q": ["tea?"]}).prompt(llm, "{q}", into="a")
        assert tuning.log == []
        assert asked.collect()["a"].to_list() == ["ft:gpt-tiny:x:ftjob-1 says tea?"]
        assert asked.collect().height == 1
        assert (session.usage()["trained"], session.usage()["calls"]) == (1, 1)
    assert tuning.chats[0]["temperature"] == 0


def test_preferences_go_up_as_pairs(tmp_path: Path) -> None:
    rows = {"prompt": ROWS["q"], "chosen": ROWS["a"], "rejected": ["no"] * 12}
    with tuning_server() as tuning, dr.Session(tmp_path / "s"):
        dr.frame(rows).train(trainer("openai", tuning, method="dpo", beta=0.2, epochs=2, system="Be brief.")).fit()
    first = json.loads(tuning.contents["file-1"].splitlines()[0])
    assert first["input"]["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "question 0"}]
    assert first["non_preferred_output"] == [{"role": "assistant", "content": "no"}]
    assert tuning.jobs["ftjob-1"]["asked"]["method"] == {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 2, "beta": 0.2}}}


def test_chats_go_up_without_fields_of_null_and_only_where_they_end_with_an_answer(tmp_path: Path) -> None:
    good = [{"role": "user", "content": "tea?", "name": None}, {"role": "assistant", "content": "yes", "name": "x"}]
    with tuning_server() as tuning, dr.Session(tmp_path / "s"):
        model = dr.frame({"messages": [good] * 11 + [good[:1]]}).train(trainer("openai", tuning)).fit()
        assert model.summary()["n_rows"] == 11
        assert "1 of 12 rows do not end with a turn of 'assistant', which is what is learnt, and were left out (rows 11)" in model.summary()["notes"][0]
    lines = tuning.contents["file-1"].splitlines()
    assert json.loads(lines[0]) == {"messages": [{"role": "user", "content": "tea?"}, {"role": "assistant", "content": "yes", "name": "x"}]}
    assert len(lines) == 11


@WHO
def test_validation_rows_are_a_file_of_their_own(who: str, tmp_path: Path) -> None:
    with tuning_server() as tuning, dr.Session(tmp_path / "s"):
        rows = dr.frame(ROWS)
        rows.train(trainer(who, tuning), prompt="q", completion="a", validation=rows.head(3)).fit()
    asked = tuning.jobs["ftjob-1"]["asked"]
    assert [len(c.splitlines()) for c in tuning.contents.values()] == [12, 3]
    assert (asked.get("validation_file") or asked["validation_files"][0]) == "file-2"


@WHO
@pytest.mark.parametrize("request_", ["POST /files", "POST /fine_tuning/jobs"], ids=["upload", "job"])
def test_a_request_whose_answer_is_lost_is_not_repeated(who: str, request_: str, tmp_path: Path) -> None:
    lost = iter([True])
    with tuning_server(lose=lambda name: name == request_ and next(lost, False)) as tuning, dr.Session(tmp_path / "s"):
        model_of(who, tuning).fit()
    assert (len(tuning.files), len(tuning.jobs)) == (1, 1)
    assert tuning.count(request_) == 1


@WHO
def test_a_server_that_is_down_for_a_while_is_waited_for(who: str, tmp_path: Path) -> None:
    states = iter([503, 429, 500])
    with tuning_server(refuse=lambda name: next(states, None) if "jobs/" in name else None) as tuning, dr.Session(tmp_path / "s"):
        assert model_of(who, tuning).summary()["trained_tokens"] == 1234


@WHO
def test_a_failed_job_says_why_and_the_next_run_starts_another_with_the_same_file(who: str, tmp_path: Path) -> None:
    with tuning_server(fail="line 3 is empty") as tuning, dr.Session(tmp_path / "s"):
        with pytest.raises(TrainingError, match=r"job ftjob-1 failed: .*line 3 is empty"):
            model_of(who, tuning).fit()
        tuning.fail = None
        model_of(who, tuning).fit()
    assert (len(tuning.files), len(tuning.jobs)) == (1, 2)


KILLED = """
import sys, dreamframe as dr
rows = {"q": [f"question {i}" for i in range(12)], "a": [f"answer {i}" for i in range(12)]}
trainer = dr.OpenAIFineTune("gpt-tiny", base_url=sys.argv[1], poll_s=0.01)
with dr.Session(sys.argv[2]):
    dr.frame(rows).train(trainer, prompt="q", completion="a").fit()
"""


def test_a_killed_run_goes_on_waiting_for_its_job(tmp_path: Path) -> None:
    with tuning_server(hold=threading.Event()) as tuning:
        env = {**os.environ, "OPENAI_API_KEY": KEY}
        run = subprocess.Popen([sys.executable, "-c", KILLED, f"{tuning.address}/v1", str(tmp_path / "s")], env=env, cwd=Path.cwd())
        assert tuning.started.wait(60)
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert tuning.hold is not None
        tuning.hold.set()
        with dr.Session(tmp_path / "s"):
            model_of("openai", tuning).fit()
    assert (tuning.count("POST /files"), tuning.count("POST /fine_tuning/jobs")) == (1, 1)


@WHO
def test_a_refused_key_is_said_without_the_key(who: str, tmp_path: Path) -> None:
    with tuning_server() as tuning, dr.Session(tmp_path / "s"), pytest.raises(AuthenticationError, match="refused the key") as caught:
        model_of(who, tuning, api_key="wrong-key-of-mine").fit()
    assert "wrong-key-of-mine" not in str(caught.value)
    assert tuning.files == {}


def test_no_key_at_all_is_said_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with dr.Session(tmp_path / "s"), pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        dr.frame(ROWS).train(dr.OpenAIFineTune("gpt-tiny"), prompt="q", completion="a").fit()


def test_too_few_rows_are_refused_before_the_upload(tmp_path: Path) -> None:
    with tuning_server() as tuning, dr.Session(tmp_path / "s"), pytest.raises(TrainingError, match="3 rows are too few"):
        dr.frame(ROWS).head(3).train(trainer("openai", tuning), prompt="q", completion="a").fit()
    assert tuning.log == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"args": {"integration": []}}, "no setting 'integration'. Did you mean 'integrations'"),
        ({"method": "suprevised"}, "Did you mean 'supervised'"),
        ({"beta": 0.1}, "belongs to method='dpo'"),
        ({"epochs": 0}, "must be more than 0"),
    ],
    ids=["args", "method", "beta", "epochs"],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        dr.OpenAIFineTune("gpt-tiny", **settings)


def test_the_key_is_not_part_of_the_plan_or_its_text() -> None:
    one, two = (dr.frame(ROWS).train(dr.OpenAIFineTune("gpt-tiny", api_key=k), prompt="q", completion="a") for k in (KEY, "other"))
    assert one.step.key({}) == two.step.key({})
    assert KEY not in repr(one) + repr(one.step.trainer) + one.explain()
