"""A victim that reads strangers' plans, with a hook that sees each file it opens, each folder it lists and each connection it makes.

`python -m tests.faults.stranger` reads from stdin a JSON list of {"plan": text, "allow": [...]}, works in the current folder with keys in its environment,
and says for each plan what reading and explaining it touched, what collecting it touched, and what was said.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

WATCHED = ("open", "glob.glob", "glob.glob/2", "os.listdir", "os.scandir", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "ctypes.dlopen")
seen: list[str] = []


def watch(event: str, args: tuple[Any, ...]) -> None:
    if event in WATCHED and not (event in ("open", "os.listdir", "os.scandir") and is_of_python(args[0])):
        seen.append(f"{event} {args[1] if event == 'socket.connect' else args[0]}")


def is_of_python(path: object) -> bool:
    """Whether it is part of this Python and its libraries, or has no name."""
    if not isinstance(path, str | bytes | os.PathLike):
        return True
    text = os.fsdecode(path)
    libraries = (sys.prefix, sys.base_prefix, "/usr", "/lib", "/etc/localtime", str(Path(__file__).resolve().parents[2]), *filter(None, sys.path))
    return text.startswith(libraries) or text.endswith((".py", ".pyc"))


def attempt(plan: str, allow: list[str]) -> dict[str, Any]:
    import dreamframe as dr

    said: dict[str, Any] = {"read": [], "collected": [], "explained": "", "error": "", "kind": "", "rows": None}
    seen.clear()
    try:
        frame = dr.from_json(plan, allow=allow)
        said["explained"] = frame.explain() + repr(frame)
    except dr.errors.DreamframeError as exc:
        said |= {"error": str(exc), "kind": type(exc).__name__}
        return said | {"read": of_others()}
    said["read"] = of_others()
    seen.clear()
    try:
        with dr.Session(None, progress=False):
            if isinstance(frame, dr.Model):
                frame.fit()
            else:
                said["rows"] = json.loads(frame.collect().write_json())
    except dr.errors.DreamframeError as exc:
        said |= {"error": str(exc), "kind": type(exc).__name__}
    said["collected"] = of_others()
    return said


def of_others() -> list[str]:
    """What was seen, but for the scratch folders of sessions in memory."""
    return [event for event in seen if "/dreamframe-" not in event]


def main() -> None:
    import dreamframe as dr

    with dr.Session(None, progress=False):  # what is imported and opened once, before anything is watched
        dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}").collect()
    asked = json.load(sys.stdin)
    sys.addaudithook(watch)
    print(json.dumps([attempt(a["plan"], a.get("allow", [])) for a in asked]))


if __name__ == "__main__":
    main()
