"""Publishing to the Hugging Face Hub: one commit that makes the repository hold exactly what is published, or nothing if it does so already."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import HubError, MissingExtraError, SettingError
from dreamframe.hub.readme import merged
from dreamframe.identity.arrow import shared
from dreamframe.models.provenance import ON_THE_HUB
from dreamframe.models.secrets import redactor_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi

README = "README.md"
PLAN = "dreamframe.json"  # what dr.from_hub reads
SHARD_BYTES = 400 << 20  # of rows in memory; Parquet is smaller
REPO = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
SPLIT = re.compile(r"\w+(\.\w+)*")  # what the datasets library takes as a name
SHARDS = re.compile(r"data/[\w.]+-\d{5}-of-\d{5}\.parquet")
PICKLES = ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state*.pth")
OURS = (PLAN, "dreamframe.py")  # of an earlier push: they go where no plan goes along
LEFT_OUT = (*PICKLES, "training.json", "metrics.arrow", "checkpoints", "checkpoint-*", ".*", README)
WEIGHTS = re.compile(r"[^/]*\.(safetensors|safetensors\.index\.json|json|txt|model|jinja)|\d+_\w+/[^/]+")  # what a model's repository of ours may hold


@dataclass(frozen=True)
class Published:
    """What was published: the repository, its commit, and the paths that were written and removed. `is_new` is False where it held all of it already."""

    repo: str
    kind: str  # dataset or model
    commit: str | None  # None: a dry run
    written: tuple[str, ...]
    removed: tuple[str, ...]
    is_new: bool

    @property
    def url(self) -> str:
        """The page of the repository."""
        return f"https://huggingface.co/{'datasets/' if self.kind == 'dataset' else ''}{self.repo}"


def dataset_files(splits: Mapping[str, pl.DataFrame], readme: str | None) -> dict[str, bytes]:
    """Parquet shards with the same bytes for the same rows, and the README with the splits in its front matter."""
    files: dict[str, bytes] = {}
    for name, rows in splits.items():
        if not SPLIT.fullmatch(name):
            raise SettingError(f"push_to_hub: a split is named with letters, digits and underscores, not {name!r}.")
        if rows.height == 0:  # the datasets library does not load one: "corresponds to no data"
            raise SettingError(f"push_to_hub: split {name!r} has no rows, and the datasets library loads no such split; leave it out or enlarge it.")
        n_shards = max(1, math.ceil(rows.estimated_size() / SHARD_BYTES))
        height = max(1, math.ceil(rows.height / n_shards))
        for i in range(n_shards):
            files[f"data/{name}-{i:05}-of-{n_shards:05}.parquet"] = _parquet(rows.slice(i * height, height))
    if readme is not None:
        found = [{"split": name, "path": f"data/{name}-*"} for name in splits]
        configs = "configs:\n- config_name: default\n  data_files:\n" + "".join(f"  - split: {f['split']}\n    path: {f['path']}\n" for f in found)
        files[README] = _with_front_matter(readme, configs).encode()
    return files


def _parquet(rows: pl.DataFrame) -> bytes:
    import pyarrow.parquet as pq

    plain = rows.with_columns(pl.col(n).cast(pl.String) for n, t in rows.schema.items() if t in (pl.Enum, pl.Categorical))
    out = io.BytesIO()
    pq.write_table(shared(plain).to_arrow(), out, compression="zstd", row_group_size=10_000)
    return out.getvalue()


def _with_front_matter(readme: str, more: str) -> str:
    """A README whose YAML has further lines at its end."""
    start, _, rest = readme.partition("---\n")
    if start or "\n---\n" not in rest:
        return f"---\n{more}---\n\n{readme}"
    front, _, text = rest.partition("\n---\n")
    return f"---\n{front}\n{more}---\n{text}"


def model_files(folder: Path, readme: str | None, *, base: str | None) -> dict[str, bytes | Path]:
    """The files of a trained model that others need. No pickle, no path of this machine."""
    left_out = shutil.ignore_patterns(*LEFT_OUT)
    files: dict[str, bytes | Path] = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not path.is_symlink() and not any(left_out("", [part]) for part in parts):
            files["/".join(parts)] = path
    for name in [n for n in files if n.endswith(".json")]:
        held = json.loads(Path(files[name]).read_text())  # type: ignore[arg-type]
        if isinstance(held, dict) and (changed := _without_paths(held, base)) != held:
            files[name] = (json.dumps(changed, indent=2, ensure_ascii=False) + "\n").encode()
    if readme is not None:
        files[README] = readme.encode()
    return files


def _without_paths(config: dict[str, Any], base: str | None) -> dict[str, Any]:
    """A config whose names of models are those of the Hub."""
    held = dict(config)
    for name in ("base_model_name_or_path", "_name_or_path", "name_or_path", "tokenizer_name_or_path"):
        if isinstance(value := held.get(name), str) and (Path(value).is_absolute() or value.startswith(("~", "."))):
            known = ON_THE_HUB.get(base or "", base)
            held[name] = known if known and REPO.fullmatch(known) else ""
    return held


def push(
    files: Mapping[str, bytes | Path], repo: str, *, kind: str, private: bool, branch: str | None, token: str | None, dry_run: bool, message: str
) -> Published:
    """Make the repository hold these files, in one commit. Files of the same kind that an earlier push left are removed by it; others stay.

    What others wrote into its README stays.

    A push that is killed leaves the repository as it was: what it uploaded is not sent again. Raises HubError, without the token in it.
    """
    if not REPO.fullmatch(repo):
        raise SettingError(f"push_to_hub: {repo!r} is not the name of a repository; write 'name' or 'owner/name'.")
    if dry_run:
        return Published(repo, kind, None, tuple(sorted(files)), (), is_new=True)
    with _hub(repo, token) as api:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        repo = api.create_repo(repo, repo_type=kind, private=private, exist_ok=True).repo_id
        if branch is not None:
            api.create_branch(repo, branch=branch, repo_type=kind, exist_ok=True)
        revision = branch or "main"
        head = api.repo_info(repo, repo_type=kind, revision=revision).sha
        there = {f.path: f for f in api.list_repo_tree(repo, repo_type=kind, revision=head, recursive=True) if hasattr(f, "blob_id")}
        files = _beside_theirs(files, there, lambda: api.hf_hub_download(repo, README, repo_type=kind, revision=head))
        adds = [CommitOperationAdd(path, content) for path, content in sorted(files.items()) if not _is_same(there.get(path), content)]
        ours = SHARDS if kind == "dataset" else WEIGHTS
        gone = sorted(path for path in there if path not in files and (ours.fullmatch(path) or path in OURS))
        if not adds and not gone:
            return Published(repo, kind, head, (), (), is_new=False)
        operations = [*adds, *(CommitOperationDelete(path) for path in gone)]
        done = api.create_commit(repo, operations, commit_message=message, repo_type=kind, revision=revision, parent_commit=head)
        return Published(repo, kind, done.oid, tuple(a.path_in_repo for a in adds), tuple(gone), is_new=True)


def _beside_theirs(files: Mapping[str, bytes | Path], there: Mapping[str, Any], download: Callable[[], str]) -> Mapping[str, bytes | Path]:
    """The files, the README with what others wrote into the one that is there."""
    ours = files.get(README)
    if not isinstance(ours, bytes) or README not in there:
        return files
    return {**files, README: merged(ours.decode(), Path(download()).read_bytes().decode("utf-8", "replace")).encode()}


def plan_file(repo: str, *, revision: str | None, token: str | None) -> str:
    """The text of the plan in a repository, of a data set or else of a model. Raises HubError where there is none."""
    if not REPO.fullmatch(repo):
        raise SettingError(f"from_hub: {repo!r} is not the name of a repository; write 'owner/name'.")
    with _hub(repo, token, who="from_hub") as api:
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

        for kind in ("dataset", "model"):
            try:
                return Path(api.hf_hub_download(repo, PLAN, repo_type=kind, revision=revision)).read_text("utf-8")
            except (EntryNotFoundError, RepositoryNotFoundError):
                continue
    raise HubError(f"from_hub: {repo}: there is no {PLAN} in a data set or a model of that name; push_to_hub writes it.")


@contextmanager
def _hub(repo: str, token: str | None, *, who: str = "push_to_hub") -> Iterator[HfApi]:
    try:
        import huggingface_hub
        from huggingface_hub.errors import HTTPError
    except ImportError as exc:
        raise MissingExtraError("huggingface_hub", extra="hub", needed_for=who) from exc
    try:
        yield huggingface_hub.HfApi(token=token)
    except (HTTPError, OSError, ValueError) as exc:
        hides = redactor_of((), token, huggingface_hub.get_token())
        said = " ".join(hides.text(str(hides.error(exc))).split())
        raise HubError(f"{who}: {repo}: {type(exc).__name__}: {said[:500]}") from None


def _is_same(there: Any, content: bytes | Path) -> bool:
    """Whether the Hub has these bytes, by the digest that it keeps: sha256 of large files, git's of small ones."""
    if there is None:
        return False
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    if there.size != size:
        return False
    if there.lfs is not None:
        digest, known = hashlib.sha256(), there.lfs.sha256
    else:
        digest, known = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False), there.blob_id
    if isinstance(content, bytes):
        digest.update(content)
    else:
        with content.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return bool(digest.hexdigest() == known)


@contextmanager
def merged_folder() -> Iterator[Path]:
    """Where an adapter laid into its weights is written for the upload."""
    with tempfile.TemporaryDirectory(prefix="dreamframe-push-") as folder:
        yield Path(folder) / "model"


def same_columns(schemas: Mapping[str, pl.Schema]) -> None:
    """Raise SettingError where splits differ in a column or its type: the datasets library loads no such data set."""
    (first, held), *others = ((name, _plain(schema)) for name, schema in schemas.items())
    for name, other in others:
        what = [f"{c!r} is {held.get(c, 'not')} in {first!r} and {other.get(c, 'not')} in {name!r}" for c in {**held, **other} if held.get(c) != other.get(c)]
        if what:
            said = ", ".join(what[:3]) + (f" and {len(what) - 3} more" if len(what) > 3 else "")
            raise SettingError(
                f"push_to_hub: the splits {first!r} and {name!r} have different columns, and the datasets library loads no such data set: {said}. "
                "Give all splits the same with select(...) and cast(...), or push them to repositories of their own."
            )


def _plain(schema: pl.Schema) -> dict[str, pl.DataType]:
    """Types as they are published: labels are texts."""
    return {name: pl.String() if dtype in (pl.Enum, pl.Categorical) else dtype for name, dtype in schema.items()}


def named_splits(frame: Any, splits: Mapping[str, Any] | Sequence[str] | None) -> dict[str, Any]:
    """Frames by the name of their split: frames as they are, shares by `df.split`, everything as "train" without."""
    if splits is None:
        return {"train": frame}
    if not isinstance(splits, Mapping) or not splits:
        raise SettingError("push_to_hub: splits= is a dict of shares, like {'train': 0.9, 'test': 0.1}, or of frames.")
    if all(isinstance(part, int | float) for part in splits.values()):
        return dict(zip(splits, frame.split(**splits, seed=0), strict=True))
    for name, part in splits.items():
        if not hasattr(part, "collect"):
            raise SettingError(f"push_to_hub: split {name!r} is a {type(part).__name__}; give a frame, or shares for all splits.")
    return dict(splits)
