"""Walls around a program: the commands of this system that put a process where it sees no network, no other process and no file but its own."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import math
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dreamframe.models.sandbox.limits import Limits

OWN_TIME = 70  # seconds beside its own after which a program is ended by `timeout`, where this process was killed meanwhile
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store")
FILES = ("/etc/ld.so.cache", "/etc/localtime")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
USERS = (40_000, 19_000)  # the first user number of programs, and how many: below those that systemd gives, within what containers map
_users = itertools.count(int.from_bytes(os.urandom(4), 'big') % USERS[1])


@dataclass(frozen=True)
class Walls:
    """The limits of the operating system alone: nothing else is between a program and this user's files, processes and network."""

    name: str = "limits of the operating system alone"

    @property
    def has_view(self) -> bool:
        """Whether the program sees files and processes of its own alone, and its folder is gone with it."""
        return False

    @property
    def counts_processes(self) -> bool:
        """Whether its processes are counted apart from those of this user."""
        return False

    @property
    def has_own_user(self) -> bool:
        return False

    def folder(self, held: contextlib.ExitStack) -> tuple[str, int]:
        """The folder that its process is started in, gone in the end, and the user that it runs as."""
        owner = USERS[0] + next(_users) % USERS[1] if self.has_own_user else os.getuid() if os.name == "posix" else 0
        if self.has_view:
            return "/", owner
        import tempfile

        made = held.enter_context(tempfile.TemporaryDirectory(prefix="dreamframe-program-", ignore_cleanup_errors=True))
        if self.has_own_user:
            os.chown(made, owner, owner)
        return made, owner

    def home(self, folder: str) -> str:
        """Its home, and where it stands, as it sees that."""
        return "/tmp" if self.has_view else folder

    def command(self, program: Sequence[str], folder: str, owner: int, limits: Limits) -> list[str]:  # noqa: ARG002
        """The command that runs a program behind these walls."""
        return [*_at_most(limits), *program]


@dataclass(frozen=True)
class AnotherUser(Walls):
    """As a user of its own, without rights: root may do so."""

    name: str = "a user of its own (setpriv)"

    @property
    def counts_processes(self) -> bool:
        return True

    @property
    def has_own_user(self) -> bool:
        return True

    def command(self, program: Sequence[str], folder: str, owner: int, limits: Limits) -> list[str]:  # noqa: ARG002
        return [*_at_most(limits), *_without_rights(owner), *program]


@dataclass(frozen=True)
class Namespaces(Walls):
    """In namespaces of its own: root's, with a user of its own, or those of a user."""

    name: str = "namespaces (unshare)"
    as_root: bool = False

    @property
    def has_view(self) -> bool:
        return True

    @property
    def counts_processes(self) -> bool:
        return True

    @property
    def has_own_user(self) -> bool:
        return self.as_root

    def command(self, program: Sequence[str], folder: str, owner: int, limits: Limits) -> list[str]:  # noqa: ARG002
        root, table = _root()
        rights = _without_rights(owner if self.as_root else None)
        script = f'mount -T {table} -a && chroot {root} "$@"'  # no exec: process 1 of the namespace, with which all others end, stays the shell
        user = [] if self.as_root else ["--user", "--map-root-user"]
        apart = ["unshare", *user, "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child=KILL"]
        return [*apart, "sh", "-c", script + "\n", "sh", *_at_most(limits), *rights, *program]


@dataclass(frozen=True)
class Bubblewrap(Walls):
    """What Flatpak uses, where it is installed."""

    name: str = "bubblewrap"

    @property
    def has_view(self) -> bool:
        return True

    @property
    def counts_processes(self) -> bool:
        return True

    def command(self, program: Sequence[str], folder: str, owner: int, limits: Limits) -> list[str]:  # noqa: ARG002
        shown: list[str] = []
        for path, target in _seen():
            if path not in DEVICES:
                shown += ["--ro-bind", path, path] if target is None else ["--symlink", target, path]
        room = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        return ["bwrap", *room, *shown, "--chdir", "/tmp", *_at_most(limits), *program]


def possible() -> list[Walls]:
    """What this system has the commands for, the best first."""
    if os.name != "posix":
        return [Walls("a process of its own alone")]
    is_root, has = os.getuid() == 0, shutil.which
    unshare = bool(has("unshare") and has("setpriv") and has("mount") and has("chroot"))
    return [
        *([Namespaces("namespaces and a user of its own (unshare, setpriv)", as_root=True)] if is_root and unshare else []),
        *([Bubblewrap()] if has("bwrap") else []),
        *([Namespaces()] if unshare else []),
        *([AnotherUser()] if is_root and has("setpriv") else []),
        Walls(),
    ]


def _at_most(limits: Limits) -> list[str]:
    """Where this process is killed meanwhile, nobody else would end it."""
    timeout = shutil.which("timeout")
    return [timeout, "-s", "KILL", str(math.ceil(limits.timeout_s) + OWN_TIME)] if timeout else []


def _without_rights(owner: int | None) -> list[str]:
    user = [] if owner is None else [f"--reuid={owner}", f"--regid={owner}", "--clear-groups"]
    return ["setpriv", *user, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]


@cache
def _root() -> tuple[str, str]:
    """A folder that programs see as the root of all files, and the table of what each mounts over it in a namespace of its own: one call mounts all."""
    import tempfile

    made = tempfile.mkdtemp(prefix="dreamframe-root-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    root, table = Path(made, "root"), Path(made, "table")
    lines = [f"{root} {root} none bind,ro,nosuid,nodev"]
    for path, target in _seen():
        at = root / path.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        if target is not None:
            at.symlink_to(target)
            continue
        if os.path.isdir(path):
            at.mkdir(parents=True, exist_ok=True)
        else:
            at.touch()
        lines.append(f"{path} {at} none {'bind' if path in DEVICES else 'rbind,ro,nosuid,nodev' if at.is_dir() else 'bind,ro'}".replace(" " * 2, " "))
    for name in ("tmp", "proc"):
        (root / name).mkdir(exist_ok=True)
    lines += [f"tmpfs {root}/tmp tmpfs mode=1777,size={Limits.file_size},nosuid,nodev", f"proc {root}/proc proc nofail"]
    os.chmod(made, 0o755)
    for folder in (root, *(p for p in root.rglob("*") if p.is_dir() and not p.is_symlink())):
        os.chmod(folder, 0o755)
    table.write_text("".join(f"{line} 0 0\n" for line in lines), encoding="utf-8")
    return str(root), str(table)


@cache
def _seen() -> tuple[tuple[str, str | None], ...]:
    """What programs may read: the system's programs and libraries, and Python with what is installed. Path → where it links to, None for what it holds."""
    python = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix), Path(os.path.realpath(sys.executable)).parents[1]}
    under = tuple(p for p in map(Path, SYSTEM) if p.is_dir() and not p.is_symlink())
    own = sorted(p for p in python if not any(p == u or u in p.parents for u in under) and p != Path("/"))
    own = [p for p in own if not any(o in p.parents for o in own)]
    system = [(p, os.readlink(p) if os.path.islink(p) else None) for p in SYSTEM if os.path.exists(p)]
    return (*system, *((str(p), None) for p in own), *((p, None) for p in (*FILES, *DEVICES) if os.path.exists(p)))
