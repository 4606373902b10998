"""A working copy and its bucket: what the bucket has is taken at opening, what is new here goes up while the session is open, and at its end."""

from __future__ import annotations

import atexit
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from dreamframe.errors import CorruptFileError, SettingError, StorageError
from dreamframe.store.address import Address
from dreamframe.store.answer_files import NAME as JOURNAL
from dreamframe.store.arrivals import checked
from dreamframe.store.files import Files
from dreamframe.store.layout import MOST_JSON, Layout, check_format, read_json, warn
from dreamframe.store.members import is_member
from dreamframe.store.objects import Found, ObjectGoneError, Objects
from dreamframe.store.remote_files import DATA, Fetching, LookedAt, RemoteFiles, data_of, manifest_of
from dreamframe.store.runlog import MOST as MOST_LOG

EVERY_S = 5.0  # what is new goes up so often; of a session that is open for long, after 2 % of that time, or it would leave thousands of objects
SHARE = 0.02
AT_ONCE = 16  # requests
TAKEN = 64  # files that are held in memory on their way
WAIT_S = 60.0  # for another process of this machine that is at it
LOG_BYTES = 1 << 20  # a longer log of a run goes up when the session is closed
SESSION, KNOWN = "session.json", "bucket.json"


class Mirror:
    """Takes and sends. Threads may come in any order; of the processes of this machine, one at a time."""

    def __init__(self, files: Fetching) -> None:
        self._files, self._disk, self._layout = files, Files(files.root), Layout(files.root)
        self._objects: Objects = files.objects
        self._there: dict[str, Found] = {}
        self._known: dict[str, str] = {}  # name → tag of what was taken or sent: it does not go up a second time
        self._lost: set[str] = set()  # another writer was first: its file is taken at the next opening
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._seal: Callable[[], None] = lambda: None
        self._is_first = True  # nothing was sent yet: what an interrupted session left here goes up at once
        self._is_silent = False  # the last attempt failed, which was said

    def pull(self, *, must: bool = False) -> None:
        """Take what the bucket has and is not here; of two that made one thing, the bucket's. `must`: raise SettingError where there is no session."""
        listed = self._objects.list()
        if SESSION not in listed:
            if must:
                raise SettingError(
                    f"Session: there is no session in {self._objects.address.text}: it holds no {SESSION}. "
                    "Name the address of a session that ran, or run a plan in this one first."
                )
            self._there, self._known = {}, {}
            return
        self._disk.mkdir(self._layout.locks)
        with self._alone(WAIT_S):
            self._there, self._known = listed, self._read_known(listed)
            wanted = [name for name in listed if self._is_wanted(name)]
            with ThreadPoolExecutor(AT_ONCE, "dreamframe-remote") as pool:
                wanted.sort(key=lambda name: name != SESSION)
                for names in (wanted[at : at + TAKEN] for at in range(0, len(wanted), TAKEN)):
                    for name, data in zip(names, pool.map(self._got, names), strict=True):
                        if data is not None:
                            self._take(name, data)
            self._forget()
            self._write_known()

    def start(self, seal: Callable[[], None]) -> None:
        """Send what is new from now on. `seal` ends the file that answers are written into, so that it can go up."""
        self._seal = seal
        self._thread = threading.Thread(target=self._work, name="dreamframe-remote", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def close(self) -> None:
        """Send everything. Raises StorageError where that cannot be: it is all here, and goes up when the session is opened here again."""
        atexit.unregister(self.close)
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._end.set()
        thread.join()
        try:
            self.push(is_last=True)
        except StorageError as exc:
            error = StorageError(f"{exc} Nothing is lost: what has not gone up is in {self._files.root}, and goes up when the session is opened here again.")
            error.errno = exc.errno
            raise error from None

    def push(self, *, is_last: bool = False) -> None:
        """Send what is new here. Data before the manifest that lists it, and that only if there is none; what was removed here is removed at last."""
        self._seal()
        self._disk.mkdir(self._layout.locks)
        with self._lock, self._alone(WAIT_S if is_last else 0.0) as is_alone:
            if not is_alone:
                return  # another process of this machine is at it, and sends ours as well
            self._known |= self._read_known(self._there)
            if SESSION not in self._there:
                self._send(SESSION, is_last=is_last)
            removed, self._removed = self._removed, {}
            try:
                for name in [name for name in removed if self._disk.kind(self._files.root / name) is not None]:
                    self._drop(name)  # what was made anew takes the place of what was removed
                for name in self._names():
                    if name not in self._lost and self._is_new(name, is_last=is_last):
                        self._send(name, is_last=is_last)
                for name in [name for name in removed if self._disk.kind(self._files.root / name) is None]:
                    self._drop(name)
                self._drop_data(set().union(*removed.values()))
            except StorageError:
                self._removed = {**removed, **self._removed}
                raise
            finally:
                self._write_known()

    # Taking

    def _is_wanted(self, name: str) -> bool:
        if not is_member(name) or manifest_of(name) not in (None, name):
            return False
        path, found = self._files.root / name, self._there[name]
        kind = self._disk.kind(path)
        if name.startswith("runs/"):
            return found.size <= MOST_LOG and (kind is None or (kind == "file" and found.size > self._disk.size(path)))
        if name.endswith(".json") and found.size > MOST_JSON:
            warn(f"{self._objects.address.text}: {name} is larger than any record of a session and is left out")
            return False
        return kind is None or (kind == "file" and not name.startswith(("answers/", "scripts/")) and self._known.get(name) != found.tag)

    def _got(self, name: str) -> bytes | None:
        try:
            return self._objects.get(name)
        except ObjectGoneError:
            return None  # removed meanwhile

    def _take(self, name: str, data: bytes) -> None:
        path = self._files.root / name
        try:
            data, what = checked(name, data)
        except CorruptFileError as exc:
            if name == SESSION:
                raise CorruptFileError(f"{self._objects.address.text}: {name} {exc}") from exc
            warn(f"{self._objects.address.text}: {name} {exc}; it is left out, and what it held is made again when it is needed")
            return
        if what:
            warn(f"{self._objects.address.text}: {name} {what}")
        self._known[name] = self._there[name].tag
        if name == SESSION:
            check_format(self._layout, json.loads(data), called=self._objects.address.text)
            if self._disk.kind(path) is not None:
                return
        if self._disk.kind(path) == "file" and (mine := self._disk.read_bytes(path)) != data:
            if name.startswith("runs/") and not data.startswith(mine):
                return
            self._disk.remove_entry(path.parent if name.startswith(("steps/", "models/")) else path)
            if name.startswith("sources/"):
                self._disk.unlink(path.with_suffix(".arrow"))
        self._disk.mkdir(path.parent)
        self._disk.write_new(path, data)

    def _forget(self) -> None:
        """Outputs of steps that were here and in the bucket, and were removed there: by a tidy, or since their answers were asked for anew."""
        for name in [name for name in self._known if name.startswith("steps/") and name not in self._there]:
            del self._known[name]
            if self._disk.kind(self._files.root / name) is not None:
                self._disk.remove_entry((self._files.root / name).parent)

    # Sending

    def _work(self) -> None:
        began = time.monotonic()
        while not self._end.wait(0.0 if self._is_first else max(EVERY_S, SHARE * (time.monotonic() - began))):
            self._is_first = False
            try:
                self.push()
                self._is_silent = False
            except StorageError as exc:
                if not self._is_silent:
                    warn(f"{exc} The run goes on; what is new is in {self._files.root} and goes up as soon as it can.")
                self._is_silent = True

    def _names(self) -> Iterator[str]:
        """The files that are here and finished, answers first; of entries, their manifests."""
        for part in self._layout.parts:
            for name in self._disk.listdir(part):
                if name.startswith("."):
                    continue
                inner = {"steps": f"{name}/step.json", "models": f"{name}/training.json"}.get(part.name, name)
                full = f"{part.name}/{inner}"
                if is_member(full) and manifest_of(full) in (None, full) and self._disk.kind(self._files.root / full) == "file":
                    yield full

    def _is_new(self, name: str, *, is_last: bool) -> bool:
        if name.startswith("runs/"):
            size = self._disk.size(self._files.root / name)
            return (name not in self._there or self._there[name].size < size) and (is_last or size <= LOG_BYTES)
        return name not in self._there and name not in self._known

    def _send(self, name: str, *, is_last: bool) -> None:
        path = self._files.root / name
        try:
            size = self._disk.size(path)
            if JOURNAL.fullmatch(path.name) and not self._is_ended(path, wait_s=1.0 if is_last else 0.0):
                return
            if manifest_of(name) == name and not self._send_data(name):
                return
            if name.startswith(("answers/", "runs/")):  # names that one writer alone has
                tag: str | None = self._objects.put(name, path if size > 1 << 22 else self._disk.read_bytes(path)[:size])
            else:
                tag = self._objects.put_new(name, self._disk.read_bytes(path))
        except StorageError:
            if self._disk.kind(path) is None:
                return  # compacted or removed meanwhile, by another process
            raise
        if tag is None:
            self._lost.add(name)
        else:
            self._known[name], self._there[name] = tag, Found(size, tag, "")

    def _is_ended(self, path: Path, *, wait_s: float) -> bool:
        """Whether nobody writes a journal any more."""
        lock = self._disk.lock(path, make=False, wait_s=wait_s)
        if lock is not None:
            lock.release()
        return lock is not None

    def _send_data(self, manifest: str) -> bool:
        """Send what a manifest lists; False where it is not as listed: its reader sets it aside."""
        try:
            listed = data_of(manifest, read_json(self._disk, self._files.root / manifest))
        except CorruptFileError:
            return False
        for name, digest in listed.items():
            at, path = f"{DATA}/{digest}", self._files.root / name
            if at not in self._there:
                if self._disk.kind(path) != "file" or self._disk.digest(path)[1] != digest:
                    return False
                size = self._disk.size(path)
                self._there[at] = Found(size, self._objects.put(at, path if size > 1 << 22 else self._disk.read_bytes(path)), "")
        return True

    # Removing

    @property
    def _removed(self) -> dict[str, set[str]]:
        return self._files.removed if isinstance(self._files, RemoteFiles) else {}

    @_removed.setter
    def _removed(self, names: dict[str, set[str]]) -> None:
        if isinstance(self._files, RemoteFiles):
            self._files.removed = names

    def _drop(self, name: str) -> None:
        if name in self._there or name in self._known:
            self._objects.delete(name)
        self._there.pop(name, None)
        self._known.pop(name, None)

    def _drop_data(self, digests: set[str]) -> None:
        """Remove data that nothing here lists any more."""
        digests = {digest for digest in digests if f"{DATA}/{digest}" in self._there}
        for name in self._names() if digests else ():
            if manifest_of(name) == name:
                digests -= set(data_of(name, read_json(self._disk, self._files.root / name)).values())
        for digest in digests:
            self._drop(f"{DATA}/{digest}")

    # What is known

    @contextmanager
    def _alone(self, wait_s: float) -> Iterator[bool]:
        lock = self._disk.lock(self._layout.locks / "bucket", wait_s=wait_s)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

    def _read_known(self, there: dict[str, Found]) -> dict[str, str]:
        """What was taken and sent before; nothing where the bucket's session is another one since."""
        path = self._layout.locks / KNOWN
        if self._disk.kind(path) != "file":
            return {}
        try:
            record = read_json(self._disk, path)
        except CorruptFileError:
            return {}
        known = record.get("files")
        is_same = SESSION not in there or not there[SESSION].made_at or record.get("made_at") in (there[SESSION].made_at, "")
        return {str(k): str(v) for k, v in known.items()} if is_same and isinstance(known, dict) else {}

    def _write_known(self) -> None:
        """Keep it. It only spares work: without it, what is equal is seen to be equal."""
        made_at = self._there[SESSION].made_at if SESSION in self._there else ""
        data = json.dumps({"made_at": made_at, "files": self._known}).encode()
        path = self._layout.locks / KNOWN
        hidden = self._disk.temporary(path)
        self._disk.write_new(hidden, data)
        self._disk.move(hidden, path)


def working_copy(folder: Path, address: Address) -> tuple[RemoteFiles, Mirror]:
    """The files of a session in a bucket, with what is there taken, and what sends what is new once it is started. Raises StorageError where the bucket
    cannot be read."""
    files = RemoteFiles(folder, Objects(address))
    mirror = Mirror(files)
    mirror.pull()
    return files, mirror


def looked_at(folder: Path, address: Address) -> LookedAt:
    """The files of a session in a bucket that is only read. Raises SettingError where the bucket holds none."""
    files = LookedAt(folder, Objects(address))
    Mirror(files).pull(must=True)
    return files
