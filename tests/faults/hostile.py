"""Opens session folders from a stranger under an audit hook that notes everything a session has no business with.

    python -m tests.faults.hostile guarded|unguarded|merging FOLDER…

prints a JSON line for each folder: what was forbidden and happened, and what was said to the user.
"""

from __future__ import annotations

import codecs
import json
import os
import pickle
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dreamframe.errors import SettingError, StoreError
from dreamframe.session.session import Session
from dreamframe.store import files
from dreamframe.store.layout import SessionWarning
from dreamframe.store.stores import open_stores
from tests.storing import give, key_of, step_key, store_step, table_of, texts

FORBIDDEN = {"pickle.find_class", "exec", "compile", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"}
FORBIDDEN |= {"socket.connect", "socket.getaddrinfo", "ctypes.dlopen", "marshal.loads", "import"}
FILES = {"open", "os.listdir", "os.scandir", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
forbidden: list[str] = []
inside: list[str] = []  # the folder that is open now


def hook(event: str, args: tuple[Any, ...]) -> None:
    if not inside:
        return
    if event in FORBIDDEN:
        forbidden.append(f"{event} {str(args)[:80]}")
    if event in FILES and isinstance(args[0], (str, bytes, os.PathLike)):
        path = os.path.realpath(os.fsdecode(args[0]))
        if event in ("os.rename", "os.remove") or (event == "open" and args[2] & os.O_NOFOLLOW):  # these do not follow a link
            path = os.path.join(os.path.realpath(os.path.dirname(os.fsdecode(args[0]))), os.path.basename(os.fsdecode(args[0])))
        if not any(path == one or path.startswith(one + os.sep) for one in inside):
            forbidden.append(f"{event} {path}")


def use(folder: Path) -> None:
    """Read everything that may be there, and write something of every kind."""
    stores = open_stores(folder)
    try:
        texts(stores.answers, range(20))
        assert stores.steps is not None
        for n in range(5):
            stores.steps.find(step_key(n))
            stores.models.find(step_key(n))
        stores.steps.all()
        stores.models.all()
        give(stores.answers, range(100, 105))
        stores.answers.flush()
        store_step(stores, 50, table_of(3))
        commit_model(stores, 60)
        stores.log.write([{"event": "run"}])
    finally:
        stores.answers.close()


def merged(folder: Path) -> Path:
    """Where a folder is merged into."""
    return folder.with_name("merged")


def take(folder: Path) -> None:
    """Merge all that may be there into a session of our own, and say what was left out."""
    with Session(merged(folder), offline=True, progress=False) as session:
        for problem in session.merge(folder).problems:
            warnings.warn(SessionWarning(problem.what), stacklevel=1)


def commit_model(stores: Any, n: int) -> None:
    out = stores.models.workdir(key_of(n).hex(), "SFT") / "out"
    out.mkdir(exist_ok=True)
    (out / "config.json").write_text("{}")
    stores.models.commit(key_of(n).hex(), "SFT", out, {})


def canary(_: Path) -> None:
    """What the hook must see."""
    pickle.loads(pickle.dumps(Path("x")))  # noqa: S301
    exec("1")  # noqa: S102
    subprocess.run(["true"], check=True)
    Path("/etc/hostname").read_bytes()


def watched(folder: Path, action: Callable[[Path], None]) -> dict[str, list[str]]:
    """What happened in one folder."""
    forbidden.clear()
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inside[:] = [os.path.realpath(folder), os.path.realpath(merged(folder))]
        try:
            action(folder)
        except (StoreError, SettingError) as exc:
            said.append(f"{type(exc).__name__}: {exc}")
        finally:
            inside.clear()
    return {"forbidden": list(forbidden), "said": said + [str(w.message) for w in caught]}


def warm_up() -> None:
    """Import what the store imports when it is first used, and when it finds damage: imports read files, too."""
    codecs.lookup("unicode_escape")  # with which a name that is no text is shown
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        use(Path(scratch) / "session")
        use(Path(scratch) / "session")
        take(Path(scratch) / "session")
        for path in Path(scratch).rglob("*.*"):
            if path.is_file() and path.name != "session.json":
                path.write_bytes(b"damaged")
        use(Path(scratch) / "session")
        take(Path(scratch) / "session")


def main(mode: str, *folders: str) -> None:
    if mode == "unguarded":
        files.Files._inside = lambda self, path: None  # type: ignore[method-assign]
        files.os.O_NOFOLLOW = 0  # type: ignore[misc]
    warm_up()
    sys.addaudithook(hook)
    for folder in folders:
        print(folder, file=sys.stderr, flush=True)  # whose fault it was, if the interpreter crashes
        print(json.dumps(watched(Path(folder), canary if Path(folder).name == "canary" else take if mode == "merging" else use)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
