"""The stores of one session: opened at first use, held open while a `with` or a run needs them, closed after."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamframe.errors import SettingError
from dreamframe.redaction.visible import visible
from dreamframe.run import loop
from dreamframe.store.objects import Objects

if TYPE_CHECKING:  # imported when a plan runs: building one needs neither Arrow nor the engine
    from dreamframe.store.address import Address
    from dreamframe.store.stores import Stores

MANIFEST = "session.json"


class Opening:
    """Who needs the stores of a session, and the stores. Threads may come in any order: the folder is opened and closed once."""

    def __init__(self, folder: Path | None, *, address: Address | None = None, is_read_only: bool = False) -> None:
        self.folder, self.address, self.is_read_only = folder, address, is_read_only
        self.follows = False  # whether another process of this script writes, so that this one reads what it finds
        self._stores: Stores | None = None
        self._scratch: weakref.finalize[..., Any] | None = None  # removes the folder of models that a session in memory trains
        self._lock = threading.RLock()
        self._n_holders = 0  # `with` blocks and runs that have not ended
        self._was_left = False

    @property
    def is_there(self) -> bool:
        """Whether there is anything to look at. Makes nothing."""
        if self._stores is not None or (self.folder is not None and (self.folder / MANIFEST).exists()):
            return True
        return self.address is not None and Objects(self.address).has(MANIFEST)

    @property
    def stores(self) -> Stores:
        """The stores. Makes the folder where there is none."""
        loop.check_not_forked()
        with self._lock:
            if self._stores is None:
                from dreamframe.store.stores import open_stores, stores_to_look_at

                if self.folder is not None and (self.is_read_only or self.follows):
                    self._stores = stores_to_look_at(self.folder, address=self.address)
                    return self._stores
                scratch = None
                if self.folder is None:
                    scratch = tempfile.mkdtemp(prefix="dreamframe-")
                    self._scratch = weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
                self._stores = open_stores(self.folder, scratch=None if scratch is None else Path(scratch), address=self.address)
            return self._stores

    def check(self) -> None:
        """Open the stores, so that a folder that cannot be used fails now. One that another process makes may not be there yet."""
        if not self.follows:
            self.stores  # noqa: B018

    def write(self) -> None:
        """Have this process write by itself from here on, whatever place it has among others."""
        if self.follows:
            self.close()
            self.follows = False

    def looked_at(self) -> Stores:
        """The stores of a session that is there. Raises SettingError, and makes no folder, where there is none."""
        if self.folder is not None and not self.is_there:
            raise SettingError(
                f"Session: there is no session in {visible(repr(str(self.folder) if self.address is None else self.address.text))}: it holds no {MANIFEST}. "
                "Name the folder of a session that ran, or run a plan in this one first."
            )
        return self.stores

    def close(self) -> None:
        """Write what is pending and let go of the folder; the next use opens it again."""
        with self._lock:
            stores, self._stores = self._stores, None
            scratch, self._scratch = self._scratch, None
            try:
                if stores is not None:
                    stores.close()
            finally:
                if scratch is not None:
                    scratch()

    def hold(self) -> None:
        """One `with` or run more."""
        with self._lock:
            self._n_holders += 1

    def let_go(self, *, is_left: bool = False) -> None:
        """One `with` (`is_left`) or run less. After the last one a session that was left closes its folder; one in memory keeps its rows as long as
        somebody has it."""
        with self._lock:
            self._was_left = self._was_left or is_left
            self._n_holders -= 1
            if self._n_holders or not self._was_left or self._stores is None:
                return
            if self.folder is not None:
                self.close()
            else:
                self._stores.rest()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder open meanwhile, also when the `with` ends."""
        self.hold()
        try:
            yield
        finally:
            self.let_go()
