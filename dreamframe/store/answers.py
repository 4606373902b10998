"""The answers: one durable record for each model call, keyed by what was really asked, written as each answer arrives."""

from __future__ import annotations

import atexit
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from dreamframe.errors import StorageError
from dreamframe.store.answer_files import JournalFolder, JournalReader, JournalWriter, Ticket, Written
from dreamframe.store.answer_index import (
    AnswerBlock,
    Generation,
    InMemory,
    OnDisk,
    Piece,
    answer_table,
    are_merged,
    generation_of,
    halves_of,
    keys_of,
    merged,
    whole_keys,
)
from dreamframe.store.claims import Claims
from dreamframe.store.compaction import compact_at_close
from dreamframe.store.files import Files
from dreamframe.store.free_memory import give_back
from dreamframe.store.journal import ANSWER_SCHEMA, Row, batch_of
from dreamframe.store.key_search import KeySearch, NotSearchableError, pieces_of
from dreamframe.store.layout import Layout
from dreamframe.store.renewals import Renewals

GROUP_S = 0.02  # an answer is written at the latest this long after it came, with all that came since
SOON_S = 0.002  # where few come: a group costs as much as writing a hundred answers
FEW = 32
SYNC_S = 1.0  # and survives a power cut this long after that
BEHIND_BYTES = 64 << 20  # of answers that wait for a slow disk: who asks waits too
LOOKED_AT = 32  # of them, to tell how long they are
REFRESH_S = 1.0  # how often a miss may look for what other processes have written
RECENT_ROWS = 8_192  # answers kept as plain rows; then the older half moves into the index
RECENT_BYTES = 64 << 20  # or so much of the journal, where answers are long
GIVE_BACK_BYTES = 32 << 20  # of the journal: what they took before they were written is given back to the system
SAID = ("text", "data", "finish")
__all__ = ["ANSWER_SCHEMA", "SAID", "Answers"]


class Answers:
    """The journal and its index. `append` and `lookup` are for the event loop; a thread of its own does the writing."""

    def __init__(self, files: Files, layout: Layout | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the journals of a folder; without one, everything stays in memory."""
        self._clock = clock
        self._files, self._layout = files, layout
        self._folder = JournalFolder(files, layout) if layout is not None else None
        self._writer = JournalWriter(files, layout, self._folder) if layout is not None and self._folder is not None else None
        self._claims = Claims(files, layout.locks / "claims", clock=clock) if layout is not None else None
        self.renewals = Renewals(files, layout)
        self._recent: dict[bytes, Row] = {}
        self._pending: list[Row | Ticket] = []
        self._frames: list[Written] = []  # written, and not in the index yet
        self._readers: dict[Path, JournalReader] = {}  # of the files that they lie in
        self._generations: tuple[Generation, ...] = ()
        self._search_keys = KeySearch(files, layout) if layout is not None else None
        self._generations_lock, self._refresh_lock, self._drain_lock = threading.Lock(), threading.Lock(), threading.Lock()
        self._failed: StorageError | None = None
        self._wake, self._urgent = threading.Event(), threading.Event()
        self._n_bytes = 0  # written since then
        self._n_last = 0  # rows in the last group
        self._is_refused = False  # what waits, by the disk
        self._is_awake = self._must_rest = False
        self._next_refresh = self._next_sync = 0.0
        self.n_news = 0  # times that answers of others were found
        self._thread: threading.Thread | None = None  # only while there is something to write: an idle session costs no thread
        self._thread_lock = threading.Lock()
        if self._folder is not None:
            self._folder.names()  # a folder that cannot be listed, or is another one than it says, is refused at once
        self._is_read = self._folder is None  # the journals that lay there: not before an answer is looked up, since rows of a stored step need none

    def __len__(self) -> int:
        """How many answers are known; one that was given twice may count twice."""
        self._read_once()
        return sum(map(len, self._generations)) + len(self._recent)

    # The event loop's side

    def append(  # noqa: PLR0917  the columns of a row, in their order
        self,
        key: bytes,
        text: str | None,
        data: bytes | None,
        finish: str,
        n_in: int,
        n_out: int,
        n_cached: int,
        n_reasoning: int,
        model: str,
        extra: str | None,
    ) -> None:
        """Keep an answer. Written within 20 ms, or 2 where few come; raises StorageError, once, if the disk refused the ones before it: they stay in memory."""
        row = (key, text, data, finish, n_in, n_out, n_cached, n_reasoning, model, extra, time.time_ns() // 1_000_000)
        self._recent.setdefault(key, row)
        self._pending.append(row)
        if not self._is_awake:
            self._wake_up()
        if self._failed is not None:
            error, self._failed = self._failed, None  # said once: the next answer tries the disk again
            raise error

    def lookup(self, keys: Sequence[bytes | None]) -> pl.DataFrame:
        """The answers to 16-byte keys, in their order: all columns but the key, nulls where there is none, and `found`."""
        rows = [None if key is None else self._recent.get(key) for key in keys]
        here = [(i, row) for i, row in enumerate(rows) if row is not None]
        missing = [i for i, row in enumerate(rows) if row is None and keys[i] is not None]
        pieces: list[Piece] = []
        if here:
            pieces.append((InMemory(batch_of([row for _, row in here])), range(len(here)), [i for i, _ in here]))
        if missing:
            self._read_once()
            missing = self._search(keys, missing, pieces)
            if missing and self._folder is not None and self._clock() >= self._next_refresh and self.refresh():
                self._search(keys, missing, pieces)
        return answer_table(len(keys), pieces)

    def glance(self, keys: Sequence[bytes | None]) -> pl.DataFrame:
        """As `lookup`, for one who looks at a few of many: where the journals were not read yet they are searched, and stay as they are."""
        if not (self._search_keys is None or self._is_read or self._recent or self._generations):
            with suppress(NotSearchableError, StorageError):  # a lookup tells what is wrong
                hits = self._search_keys.find({key for key in keys if key is not None})
                return answer_table(len(keys), pieces_of([None if key is None else hits[key] for key in keys]))
        return self.lookup(keys)

    def everything(self) -> pl.DataFrame:
        """All answers that are kept, with their keys, each once. It may be large: it is for people who look."""
        self.refresh()
        parts: list[pl.DataFrame] = []
        for generation in self._generations:
            values = [source.take(range(source.n_rows)) for source in generation.sources if source.n_rows]
            if values:
                parts.append(pl.DataFrame([whole_keys(generation.keys.sort("row"))]).hstack(pl.concat(values)))
        return pl.concat([*parts, batch_of(list(self._recent.values()))]).unique("key", keep="first", maintain_order=True)

    def is_fresh(self, key: bytes) -> bool:
        """Whether it was given lately, so that it need not be given again."""
        return key in self._recent

    def said(self, keys: Sequence[bytes | None]) -> pl.DataFrame:
        """What was said to each key (the columns of SAID), nulls where there is no answer."""
        rows = [None if key is None else self._recent.get(key) for key in keys]
        if None in rows:
            return self.lookup(keys).select(SAID)
        texts, data, finishes = zip(*((row[1], row[2], row[3]) for row in rows if row is not None), strict=True) if rows else ((), (), ())
        return pl.DataFrame(
            [pl.Series("text", texts, dtype=pl.String), pl.Series("data", data, dtype=pl.Binary), pl.Series("finish", finishes, dtype=pl.String)]
        )

    def refresh(self) -> bool:
        """Read what other processes have written; whether there was something."""
        if self._folder is None:
            return False
        with self._refresh_lock:
            self._next_refresh = self._clock() + REFRESH_S
            batches = self._folder.news()
            self.renewals.refresh()
            if batches:
                self._add(generation_of(batches))
                self.n_news += 1
            self._is_read = True
        return bool(batches)

    def _read_once(self) -> None:
        """Read the journals of the folder, where nobody has asked for an answer yet."""
        if not self._is_read:
            self.refresh()

    def prepare(self) -> None:
        """Open the file that answers go into. Raises StorageError where nothing can be written: before anything is paid for."""
        if self._writer is not None:
            with self._drain_lock:
                self._writer.prepare()

    @property
    def is_behind(self) -> bool:
        """Whether so many answers wait to be written that no more should be asked for now. Not where the disk refuses them: the next one says so."""
        n = len(self._pending)
        if n < LOOKED_AT or self._is_refused:
            return False
        some = self._pending[:: n // LOOKED_AT]
        return n * sum(len(row[1] or "") for row in some if isinstance(row, tuple)) > BEHIND_BYTES * len(some)

    def renew(self, times: Mapping[bytes, int]) -> None:
        """Let the answer that each of these requests got when it was asked anew for the n-th time count from now on: it is kept. Raises StorageError if
        the disk refuses."""
        self.flush()
        self.renewals.add(times)

    def claim(self, keys: Sequence[bytes], *, patience_s: float = math.inf) -> list[bool]:
        """For each key, whether it is ours to ask now; False while another process asks it: look it up again later, and claim again.

        A claim ends when the answer is written, at `release`, at `close`, with the process, or when its session showed no life for `patience_s`.
        """
        return self._claims.take(keys, patience_s=patience_s) if self._claims is not None else [True] * len(keys)

    def show_life(self) -> None:
        """Tell other sessions that what this one claims is being asked for."""
        if self._claims is not None:
            self._claims.show_life()

    def release(self, keys: Sequence[bytes]) -> None:
        """Give up the claims on keys that were not answered."""
        if self._claims is not None:
            self._claims.release([key for key in keys if key not in self._recent])

    def flush(self) -> None:
        """Return when everything appended so far would survive a power cut. Raises StorageError, naming the path, if the disk refuses."""
        ticket = Ticket()
        self._pending.append(ticket)
        self._urgent.set()
        with self._thread_lock:
            self._is_awake = self._thread is not None
        self._wake.set()
        while not ticket.done.wait(0.02 if self._is_awake else 0.0):
            if (thread := self._thread) is None or not thread.is_alive():
                self._drain()  # there was nothing to write so far, or this is a forked child: there is no thread to do it
        if ticket.error is not None:
            self._failed = None
            raise ticket.error

    def end_file(self) -> None:
        """Sync and end the file that answers are written into, if there is one: the next answer begins another."""
        if self._writer is not None and self._writer.has_rows:
            with self._drain_lock:
                self._writer.close()

    def rest(self) -> None:
        """Write and sync everything, and run no thread until there is more. Raises StorageError if the disk refuses."""
        try:
            self.flush()
        finally:
            self._rest()

    def close(self) -> None:
        """Write and sync everything, and let go of the file. What is appended later is written as ever, into a file of its own."""
        if self._is_closed():
            return
        try:
            self.rest()
        finally:
            if self._claims is not None:
                self._claims.close()
            if self._writer is not None:
                self._writer.close()
        if self._layout is not None:
            compact_at_close(self._files, self._layout)

    def _is_closed(self) -> bool:
        """Whether there is nothing to write, and no file that is held."""
        return self._thread is None and not self._pending and (self._writer is None or not self._writer.is_open)

    def _wake_up(self) -> None:
        """Have what is pending written within GROUP_S, by the thread that does it."""
        with self._thread_lock:
            self._is_awake = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="dreamframe-answers", daemon=True)
                try:
                    self._thread.start()
                    atexit.register(self.close)
                except RuntimeError:  # from Python 3.12 on no thread begins while the interpreter ends: `close` writes what is pending
                    self._thread = None
        self._wake.set()

    def _rest(self) -> None:
        """End the thread when it has written everything."""
        with self._thread_lock:
            thread = self._thread
            self._must_rest = thread is not None
        if thread is not None:
            self._urgent.set()
            self._wake.set()
            thread.join()

    def _search(self, keys: Sequence[bytes | None], missing: list[int], pieces: list[Piece]) -> list[int]:
        """Add what the index knows of the missing positions; those that it does not know."""
        generations = self._generations  # read after `recent`: rows come here before they leave it
        wanted = dict(zip(missing, halves_of([key for i in missing if (key := keys[i]) is not None]), strict=True)) if generations else {}
        for generation in generations:
            found = generation.find([wanted[i] for i in missing])
            here = [(row, i) for row, i in zip(found, missing, strict=True) if row is not None]
            if here:
                pieces += generation.pieces([row for row, _ in here], [i for _, i in here])
                missing = [i for row, i in zip(found, missing, strict=True) if row is None]
            if not missing:
                break
        return missing

    # The writing thread's side

    def _work(self) -> None:
        while True:
            is_idle = not self._wake.wait(SYNC_S)
            if (is_idle or self._must_rest) and self._may_end():
                return
            if self._is_awake:
                self._urgent.wait(self._patience_s)
            self._wake.clear()
            self._urgent.clear()
            self._is_awake = False
            self._drain()

    @property
    def _patience_s(self) -> float:
        """How long the next group may grow: what came last tells whether many come."""
        return SOON_S if self._n_last < FEW else GROUP_S

    def _may_end(self) -> bool:
        """Whether all is written and synced, and the thread is let go: what comes next begins another."""
        with self._thread_lock:
            has_work = self._is_awake or self._pending or (self._writer is not None and self._writer.has_unsynced)
            if has_work and not (self._must_rest and not self._is_awake):
                return False
            self._thread, self._must_rest = None, False
            atexit.unregister(self.close)
            return True

    def _drain(self) -> None:
        """Write what is pending; sync if somebody waits or it is time. What the disk refused stays pending, and in memory."""
        with self._drain_lock:
            self._write_pending()

    def _write_pending(self) -> None:
        taken = self._pending[: len(self._pending)]
        rows = [item for item in taken if isinstance(item, tuple)]
        tickets = [item for item in taken if isinstance(item, Ticket)]
        error: StorageError | None = None
        self._n_last = len(rows)
        try:
            if rows:
                written = self._writer.write(rows) if self._writer is not None else [Written(rows)]
                self._frames += written
                self._n_bytes += sum(frame.size for frame in written)
            if self._claims is not None:
                self._claims.release([row[0] for row in rows])
            rows = []
            if self._writer is not None and (tickets or self._clock() >= self._next_sync):
                self._next_sync = self._clock() + SYNC_S
                self._writer.sync()
        except StorageError as exc:
            error = exc
        self._failed, self._is_refused = error, error is not None
        self._pending[: len(taken)] = rows
        if sum(len(f.rows) for f in self._frames) >= RECENT_ROWS or sum(f.size for f in self._frames) >= RECENT_BYTES:
            self._index()
        if self._n_bytes >= GIVE_BACK_BYTES:
            self._n_bytes = 0
            give_back()
        for ticket in tickets:
            ticket.error = error
            ticket.done.set()

    def _index(self) -> None:
        """Move the older half of the written rows from the dict of recent ones into the index. Whoever asked for the newer ones is about to read them."""
        n_rows, n_bytes, n_frames = 0, 0, 0
        while n_rows < max(1, RECENT_ROWS // 2) and n_bytes < RECENT_BYTES // 2 and n_frames < len(self._frames):
            frame = self._frames[n_frames]
            n_rows, n_bytes, n_frames = n_rows + len(frame.rows), n_bytes + frame.size, n_frames + 1
        frames, self._frames = self._frames[:n_frames], self._frames[n_frames:]
        keys = [row[0] for frame in frames for row in frame.rows]
        sources = self._on_disk(frames) or [InMemory(batch_of([row for frame in frames for row in frame.rows]))]
        self._add(Generation(sources, keys_of(pl.Series(keys, dtype=pl.Binary))))
        for key in keys:
            self._recent.pop(key, None)

    def _on_disk(self, frames: Sequence[Written]) -> list[AnswerBlock]:
        """The frames in their files; nothing if one of them is in memory only, or its file was taken away."""
        ends = {frame.path: frame.start + frame.size for frame in frames}  # the last of each file
        try:
            if any(path is None or self._files.size(path) < end for path, end in ends.items()):
                return []
            self._readers = {path: self._readers.get(path) or JournalReader(self._files, path) for path in ends if path is not None}
        except StorageError:
            return []
        return [OnDisk(read, [(f.start, f.size, len(f.rows)) for f in frames if f.path == path]) for path, read in self._readers.items()]

    def _add(self, newest: Generation) -> None:
        """Add a generation; those of like size are merged, so that there are few."""
        with self._generations_lock:
            generations = [*self._generations, newest]
            n_all = sum(map(len, generations))
            while len(generations) > 1 and are_merged(len(generations[-2]), len(generations[-1]), n_all):
                last = generations.pop()
                generations[-1] = merged(generations[-1], last)
            self._generations = tuple(generations)
