"""One of two processes that store the same steps with different rows: told over standard input, it answers over standard output.

python -m tests.faults.racer FOLDER LABEL ROWS Files|NoLocks|LastWins
"""

from __future__ import annotations

import sys
from pathlib import Path

from dreamframe.store.files import Files
from dreamframe.store.locks import Lock, NoLock
from dreamframe.store.stores import stores_on
from tests.storing import step_key, table_of


class NoLocks(Files):
    """The first protection switched off: no lock is ever taken. Both racers are let through one after the other just before they commit."""

    def rename_dir(self, source: Path, target: Path) -> bool:
        print("at the door", flush=True)
        sys.stdin.readline()
        return super().rename_dir(source, target)

    def lock(self, path: Path, *, make: bool = True, wait_s: float = 0.0) -> Lock | None:
        return NoLock()


class LastWins(NoLocks):
    """The second one as well: whoever comes last replaces what is there."""

    def rename_dir(self, source: Path, target: Path) -> bool:
        print("at the door", flush=True)
        sys.stdin.readline()
        if self.kind(target) is not None:
            self.remove_tree(target)
        return Files.rename_dir(self, source, target)


KINDS = {kind.__name__: kind for kind in (Files, NoLocks, LastWins)}


def main(folder: str, label: str, said: str, kind: str) -> None:
    stores = stores_on(KINDS[kind](Path(folder)))
    assert stores.steps is not None
    for line in sys.stdin:
        n = int(line)
        table = table_of(20, said=said)
        writer = stores.steps.writer(step_key(n), label, table.schema)
        writer.write(table)
        print("ready", flush=True)
        sys.stdin.readline()
        print(writer.commit({}).rows()["text"][0], flush=True)
    stores.answers.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
