"""Publishing to a Hub on loopback through the real libraries: what is published loads again, twice is once, and a kill half-way changes nothing."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.hub.push import Published, dataset_files, model_files
from tests.faults.publisher import ROWS, TOKEN, moods, tuned
from tests.loopback.hub import Hub, Repo
from tests.micro import micro_causal

ROOT = Path(__file__).parents[2]
PARTS = ("README.md", "data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet")


def start(hub: Hub, *arguments: str, home: Path) -> subprocess.Popen[str]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(home), "HF_HOME": str(home / "hf"), "HF_ENDPOINT": hub.url}
    env |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1"}
    env |= {"TORCHDYNAMO_DISABLE": "1"}  # as in the tests themselves: nothing is compiled
    home.mkdir(exist_ok=True)
    return subprocess.Popen([sys.executable, "-m", "tests.faults.publisher", *arguments], env=env, cwd=home, stdout=-1, stderr=-1, text=True)


def run(hub: Hub, *arguments: str, home: Path) -> dict[str, Any]:
    return run_all(hub, *arguments, home=home)[-1]


def run_all(hub: Hub, things: str, *arguments: str, home: Path) -> list[dict[str, Any]]:
    """What each of the things said that one process did."""
    out, err = (process := start(hub, things, *arguments, home=home)).communicate(timeout=200)
    assert process.returncode == 0, err[-3000:]
    n = len(things.split(","))
    return [dict(json.loads(line)) for line in out.splitlines()[-n:]]


@dataclass
class Told:
    """What a publisher and a stranger said, and what the Hub saw of them."""

    folder: Path
    rows: dict[str, Any]
    model: dict[str, Any]
    again: dict[str, Any]
    edited: dict[str, Any]
    streamed: dict[str, Any]
    loaded: dict[str, Any]
    repos: dict[str, Repo]
    tree: dict[str, bytes]
    asked: list[tuple[str, str]]
    asked_by_stranger: list[str]  # the paths


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Rows and a model are published, the rows again and then others; a stranger streams and loads the first rows, and the model.

    The model is trained in this process, and the one that merges it goes on as the stranger: those who need torch, peft and datasets import them once.
    """
    folder, base = tmp_path_factory.mktemp("published"), str(micro_causal())
    with dr.Session(folder / "session"):
        tuned(moods(), base).fit()
    with Hub() as hub:
        rows, model = run_all(hub, "rows,model", str(folder), base, home=folder)
        again, edited = run_all(hub, "rows,edited", str(folder), home=folder)
        tree = hub.tree("datasets/me/reviews")
        hub.repos["datasets/me/reviews"].branches["main"] = rows["commit"]  # a stranger loads the first version
        n = len(hub.asked)
        _, streamed, loaded = run_all(hub, "merged,stream,load", str(folder), base, home=folder / "stranger")
    return Told(folder, rows, model, again, edited, streamed, loaded, hub.repos, tree, hub.asked, [p for method, p in hub.asked[n:] if method == "GET"])


@pytest.mark.slow
def test_rows_and_models_are_published_and_load_again_elsewhere(told: Told) -> None:
    rows, model, again, edited, loaded, tree = told.rows, told.model, told.again, told.edited, told.loaded, told.tree
    sent = [path for _, path in told.asked if path.startswith("/lfs/")]
    before = told.repos["datasets/me/reviews"].commits[rows["commit"]]
    assert sum(p.startswith("data/train-") for p in before) > 1, "there are several shards"
    assert loaded["rows"]["train"]["review"] + loaded["rows"]["test"]["review"] != ROWS["review"], "drawn, not cut"
    assert sorted(loaded["rows"]["train"]["stars"] + loaded["rows"]["test"]["stars"]) == ROWS["stars"]
    assert loaded["rows"]["test"]["mood"] == [f"Mood of {r}" for r in loaded["rows"]["test"]["review"]]
    assert len(loaded["rows"]["test"]["review"]) == 10
    assert {"synthetic", "dreamframe"} <= set(loaded["tags"])
    assert loaded["parameters"] > 1000
    assert loaded["unanswered"] == 0, "the adapter is asked over its base"
    assert (again["is_new"], again["written"], again["commit"]) == (False, [], rows["commit"]), "the same rows make no commit"
    assert len(sent) == len(set(sent)), "nothing is sent twice"
    assert sorted(tree) == sorted(edited["written"]), "shards of the earlier push are gone"
    assert all(path in edited["removed"] or path in edited["written"] for path in before)
    assert "training_args.bin" not in model["written"]
    assert loaded["adapter"]["base_model_name_or_path"] in ("", None) or "/tmp" not in loaded["adapter"]["base_model_name_or_path"]
    hub_said = loaded["hub"]
    assert (hub_said["rows"], hub_said["offline"]) == (10, 10)
    assert hub_said["explain"] == f"HUB me/reviews test @ {rows['commit'][:7]} [3 columns]"
    assert rows["commit"] in hub_said["card"] or "me/reviews" in hub_said["card"]
    assert "me/other is not in the session" in hub_said["missing"]
    everything = b"".join(b for repo in told.repos.values() for commit in repo.commits.values() for b in commit.values())
    for secret in (TOKEN, str(told.folder), str(micro_causal())):
        assert secret.encode() not in everything
        assert secret not in rows["repr"] + model["repr"]


@pytest.mark.slow
def test_a_stream_reads_no_more_shards_than_its_limit_needs_and_is_kept(told: Told) -> None:
    rows, said, asked = told.rows, told.streamed, told.asked_by_stranger
    shards = [p for p in rows["written"] if p.startswith("data/train")]
    two, all_ = (next(i for i, path in enumerate(asked) if name in path) for name in ("me/after-two", "me/after-all"))
    for_two, for_all = ({p.rpartition("/")[2] for p in part if p.endswith(".parquet")} for part in (asked[:two], asked[two:all_]))
    assert len(shards) > 3
    assert for_two <= {s.rpartition("/")[2] for s in shards[:2]}, "the first shard, and a look at the next"
    assert for_all == {s.rpartition("/")[2] for s in shards}
    assert [r["x"] for r in said["rows"]] == [r["mood"] for r in said["rows"]]
    assert f"HUB me/reviews train @ {rows['commit'][:7]} streamed, the first 2 rows [3 columns]" in said["explain"]
    assert (said["whole"], said["offline"], said["kept"]) == (30, True, True)


@pytest.mark.slow
@pytest.mark.parametrize("at", ["upload", "commit"])
def test_a_push_that_is_killed_half_way_and_a_second_one_end_in_one_whole_repository(tmp_path: Path, at: str) -> None:
    pushing: list[subprocess.Popen[str]] = []
    n_puts = 0

    def kill(method: str, path: str) -> int | None:
        nonlocal n_puts
        n_puts += path.startswith("/lfs/")
        is_now = n_puts == 3 if at == "upload" else "/commit/" in path
        if is_now and pushing and pushing[0].returncode is None:
            pushing[0].send_signal(signal.SIGKILL)
            pushing[0].wait()
            return 500
        return None

    with Hub(kill) as hub:
        pushing.append(start(hub, "rows", str(tmp_path), home=tmp_path))
        pushing[0].communicate(timeout=100)
        assert pushing[0].returncode == -signal.SIGKILL
        assert hub.tree("datasets/me/reviews") == {}, "nothing of it can be seen"
        arrived = set(hub.objects)
        n = len(hub.asked)
        done = run(hub, "rows", str(tmp_path), home=tmp_path)
        second = [path for _, path in hub.asked[n:] if path.startswith("/lfs/")]
        tree = hub.tree("datasets/me/reviews")
        sent = set(hub.objects)
        n_files = sum(path.endswith(".parquet") for path in tree)
        n_commits = len(hub.repos["datasets/me/reviews"].commits)
    assert sorted(tree) == sorted(done["written"])
    assert n_commits == 2, "the empty one, and one"
    assert 2 <= len(arrived) <= n_files
    assert sorted(second) == sorted(f"/lfs/{oid}" for oid in sent - arrived), "what arrived is not sent again"
    rows = pl.concat(pl.read_parquet(b) for p, b in sorted(tree.items()) if p.endswith(".parquet"))
    assert sorted(rows.get_column("stars").to_list()) == ROWS["stars"]


def test_cards_read_the_readme_of_a_model_and_a_push_keeps_what_was_written_by_hand(tmp_path: Path) -> None:
    base = "---\nlicense: CC-BY-NC-4.0\n---\n\n# Micro\n\n```bibtex\n@misc{micro, title={Micro}}\n```\n"
    with Hub() as hub:
        hub.repos["models/org/micro"] = Repo()
        commit = hub.repos["models/org/micro"].commit("main", {"config.json": b"{}", "README.md": base.encode()}, [])
        told = run(hub, "edited by hand", str(tmp_path), home=tmp_path)
        readme = hub.tree("datasets/me/ones")["README.md"].decode()
    for card in (*told["asked"], told["trained"]):
        assert f"| model | org/micro at `{commit}` | cc-by-nc-4.0 | <https://huggingface.co/org/micro> |" in card
        assert "@misc{micro, title={Micro}}" in card
        assert "no commercial use" in card
    assert [done["written"] for done in told["done"][1:]] == [[], [], ["README.md", "data/train-00000-of-00001.parquet", "dreamframe.json"]]
    assert told["read"]["explain"].count("ROWS that were not published [1 columns]") == 1
    assert told["read"]["rows"] == [5, 5]
    assert [kind for kind, _ in told["read"]["errors"]] == ["PlanError", "HubError"]
    front = yaml.safe_load(readme.split("---\n")[1])
    assert (front["license"], front["annotations_creators"], front["configs"][0]["config_name"]) == ("mit", ["found"], "default")
    assert "license: mit  # by hand" in readme, "as it was written"
    assert readme.index("# Ones\n\nBy hand, above.") < readme.index("4 rows of 1 column") < readme.index("\nBy hand, below.\n")
    assert readme.count("## Use") == 1


def test_a_hub_that_is_not_there_is_said_in_one_line_without_the_token(tmp_path: Path) -> None:
    with Hub() as hub:
        pass  # gone
    said = run(hub, "unreachable", str(tmp_path), home=tmp_path)["errors"]
    assert [kind for kind, _ in said] == ["HubError"] * 2 + ["SettingError"]
    assert all("refused" in text and TOKEN not in text and "\n" not in text for _, text in said)


def test_the_same_rows_have_the_same_bytes_and_labels_are_texts() -> None:
    labels, vectors = pl.Series(["p", "q"], dtype=pl.Enum(["p", "q"])), pl.Series([[1.0, 2.0]] * 2, dtype=pl.Array(pl.Float32, 2))
    rows = pl.DataFrame({"a": ["x", "y"], "l": labels, "v": vectors})
    one, two = (dataset_files({"train": rows, "test": rows.head(1)}, "---\ntags:\n- a\n---\n\n# x\n") for _ in range(2))
    assert one == two
    assert sorted(one) == ["README.md", "data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"]
    assert one["README.md"].decode().startswith("---\ntags:\n- a\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n")
    assert pl.read_parquet(io.BytesIO(one["data/train-00000-of-00001.parquet"])).schema["l"] == pl.String


def test_no_pickle_no_checkpoint_and_no_path_of_this_machine_is_published(tmp_path: Path) -> None:
    for name in ("training_args.bin", "model.safetensors", "checkpoints/1/optimizer.pt", ".hidden", "training.json", "1_Pooling/config.json", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path / "base"), "r": 4}))
    files = model_files(tmp_path, "# card", base="SmolLM2-135M-Instruct")
    assert sorted(files) == ["1_Pooling/config.json", "README.md", "adapter_config.json", "model.safetensors"]
    assert json.loads(files["adapter_config.json"]) == {"base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct", "r": 4}  # type: ignore[arg-type]
    assert files["README.md"] == b"# card"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"repo": "a/b/c"}, "not the name of a repository"),
        ({"repo": "../x"}, "not the name of a repository"),
        ({"repo": "me/x", "splits": {"a b": 1.0}}, "split"),
        ({"repo": "me/x", "splits": ["train"]}, "splits= is a dict"),
        ({"repo": "me/x", "splits": {"train": 0.9, "test": 0.1}}, "split 'test' has no rows"),
        ({"repo": "me/x", "splits": {"train": 5, "test": "x"}}, "is a int"),
        ({"repo": "me/x", "splits": {"train": dr.frame({"a": [1]}), "test": dr.frame({"b": [1]})}}, "'a' is Int64 in 'train' and not in 'test'"),
        ({"repo": "me/x", "splits": {"train": dr.frame({"a": [1]}), "test": dr.frame({"a": ["x"]})}}, "'a' is Int64 in 'train' and String in 'test'"),
    ],
    ids=str,
)
def test_what_cannot_be_published_is_said_before_anything_leaves(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        dr.frame({"a": [1, 2]}).push_to_hub(**arguments, dry_run=True)


def test_a_dry_run_lists_what_would_be_written() -> None:
    done = dr.frame({"a": [1, 2, 3, 4]}).push_to_hub("me/x", splits={"train": 0.5, "test": 0.5}, dry_run=True)
    assert done == Published("me/x", "dataset", None, (*PARTS, "dreamframe.json"), (), is_new=True)
    assert done.url == "https://huggingface.co/datasets/me/x"


def test_what_save_to_disk_wrote_is_read(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features({"t": datasets.Value("string"), "mood": datasets.ClassLabel(names=["bad", "good"])})
    made = datasets.Dataset.from_dict({"t": ["a", "b", None], "mood": [1, 0, None]}, features=features)
    made.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": made, "test": made.select([0])}).save_to_disk(tmp_path / "two")
    assert dr.scan_hf_disk(tmp_path / "one").collect().to_dict(as_series=False) == {"t": ["a", "b", None], "mood": ["good", "bad", None]}
    assert dr.scan_hf_disk(tmp_path / "two", split="test").collect().height == 1
    for folder, split, says in [("two", None, "several splits"), ("two", "x", "'train', 'test'"), ("one", "x", "no splits"), ("no", None, "not a folder")]:
        with pytest.raises(dr.errors.PlanError, match=says):
            dr.scan_hf_disk(tmp_path / folder, split=split)


def test_a_card_tells_its_licence_andcitation_in() -> None:
    from dreamframe.models.readme import citation_in, licence_in

    card = "---\nlicense: CC-BY-4.0\n---\n\n# x\n\n```bibtex\n@misc{x, title={Y}}\n```\n"
    assert (licence_in(card), citation_in(card)) == ("cc-by-4.0", "@misc{x, title={Y}}")
    assert licence_in("---\nlicense:\n- mit\n- other\n---\n") == "mit, other"
    assert [licence_in(c) for c in ("", "# no front matter", "---\n: [\n---\n", "---\n- a\n---\n", "---\nlicense:\n---\n")] == [None] * 5


def test_rows_that_were_kept_are_read_until_they_are_damaged(tmp_path: Path) -> None:
    rows = pl.DataFrame({"a": [1, 2], "t": ["x", None]})
    with dr.Session(tmp_path) as session:
        sources = session.stores.sources
        assert sources is not None
        assert sources.find("me/x", "k" * 32) is None
        sources.keep("me/x", "k" * 32, rows, {"license": "mit"})
        found = sources.find("me/x", "k" * 32)
        assert found is not None
        assert found[0].equals(rows)
        assert found[1]["license"] == "mit"
        assert session.verify() == []
        (data,) = (tmp_path / "sources").glob("*.arrow")
        data.write_bytes(data.read_bytes()[:-9] + b"x" * 9)
        assert [p.path.partition("-")[0] for p in session.verify()] == ["sources/me"]
        with pytest.warns(UserWarning, match="checksum"):
            assert sources.find("me/x", "k" * 32) is None
        assert list((tmp_path / "sources").iterdir()) == []
