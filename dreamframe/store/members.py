"""Which files make a session that can be handed on: what export writes, and all that load takes from a stranger."""

from __future__ import annotations

import re

from dreamframe.store import renewals, runlog
from dreamframe.store.answer_files import NAME as JOURNAL
from dreamframe.store.models import PICKLES

ENTRY = r"[A-Za-z0-9_-]{1,48}-[0-9a-f]{12}"  # `entry_name`, or with all 32 digits of a key
PROGRAMS = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat")
OF_MODELS = ("checkpoints",)  # folders that a training leaves, and that a stranger's training must not go on from
PARTS = {
    "answers": re.compile(JOURNAL.pattern),
    "renewals": re.compile(renewals.NAME.pattern),
    "steps": re.compile(rf"{ENTRY}([0-9a-f]{{20}})?/(step\.json|data\.arrow)"),
    "models": re.compile(rf"{ENTRY}([0-9a-f]{{20}})?/(?P<file>.+)"),
    "runs": re.compile(runlog.NAME.pattern),
    "sources": re.compile(rf"{ENTRY}\.(json|arrow)"),
    "plans": re.compile(rf"{ENTRY}\.json"),
    "scripts": re.compile(rf"{ENTRY}\.py"),
}
KEPT = ("session.json", *PARTS)  # of a session folder
LONGEST = 255  # bytes of a part of a name, as most disks allow
DEEPEST = 12  # parts of a name


def is_member(name: str) -> bool:
    """Whether a file of this name, written from the session folder on, is one that export writes.

    >>> from dreamframe.store.members import is_member
    >>> is_member("models/SFT-0123456789ab/adapter.safetensors"), is_member("models/.SFT-0123456789ab.work/checkpoints/checkpoint-1/optimizer.pt")
    (True, False)
    """
    if name == "session.json":
        return True
    part, _, rest = name.partition("/")
    if part not in PARTS or (found := PARTS[part].fullmatch(rest)) is None:
        return False
    return part != "models" or _is_of_model(found["file"])


def _is_of_model(file: str) -> bool:
    """Weights, settings and texts: nothing hidden, nothing half-written, nothing that is run when it is loaded."""
    parts = file.split("/")
    if len(parts) > DEEPEST - 2 or not file.isprintable() or any(c in file for c in '\\:*?"<>|'):
        return False
    if any(not p or p.startswith((".", "checkpoint-")) or p in OF_MODELS or p != p.strip() or len(p.encode()) > LONGEST for p in parts):
        return False
    return not parts[-1].lower().endswith((*PICKLES, *PROGRAMS, ".tmp"))
