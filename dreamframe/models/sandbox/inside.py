"""What runs inside the process of one program: its limits, the code, its tests, and a report of how it went. It is handed over as text, imports nothing of
dreamframe, and little else: importing `re` and `json` alone would take as long as starting Python."""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

MOST_TOLD = 500  # characters of an error
OS_LIMITS = {errno.EFBIG: "file size", errno.EMFILE: "open files", errno.ENOSPC: "disk", errno.EAGAIN: "processes", errno.ENOMEM: "memory"}
OWN = ("<code>", "<tests>")


def limit(limits: list[str]) -> None:
    """NAME=most: limits of the operating system, where it has them: what was not held is found out by a trial (isolation.py)."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for name, _, most in (told.partition("=") for told in limits):
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (int(most), int(most)))
        except (AttributeError, OSError, ValueError):
            continue


def compiled(source: str, name: str) -> Any:
    """The program; where the text is not one as it stands, the last block between fences in it (```python … ```)."""
    try:
        return compile(source, name, "exec")
    except (SyntaxError, ValueError):
        import re

        blocks = re.findall(r"^[ \t]*```[^\n`]*\n(.*?)^[ \t]*```", source, re.DOTALL | re.MULTILINE)
        if not blocks:
            raise
        return compile(blocks[-1], name, "exec")


def show(exc: BaseException, sources: dict[str, str]) -> None:
    """The traceback, from the program's own first line on."""
    import linecache
    import traceback

    for name, source in sources.items():
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    at: TracebackType | None = exc.__traceback__
    while at is not None and at.tb_frame.f_code.co_filename not in OWN:
        at = at.tb_next
    traceback.print_exception(type(exc), exc, at)


def told(exc: BaseException) -> str:
    """Which limit it ran into, or what it raised."""
    said = f"{type(exc).__name__}: {exc}".rstrip(": ")[:MOST_TOLD]
    if isinstance(exc, MemoryError):
        return f"memory: {said}"
    if isinstance(exc, OSError) and exc.errno in OS_LIMITS:
        return f"{OS_LIMITS[exc.errno]}: {said}"
    return f"processes: {said}" if isinstance(exc, RuntimeError) and "start new thread" in str(exc) else said


def performed(code: str, tests: str | None) -> str | None:
    """Run the code, then its tests in the same names. None when both came to their end, else why not."""
    module = type(sys)("__main__" if tests is None else "solution")  # with tests it is imported, and `if __name__ == "__main__"` is not run
    sys.modules[module.__name__] = module
    given = {"<code>": code, **({} if tests is None else {"<tests>": tests})}
    for name, source in given.items():
        try:
            exec(compiled(source, name), module.__dict__)  # noqa: S102  what this process is for
        except SystemExit as exc:
            if name == "<code>" and tests is not None:
                return f"exit: the code ended by itself before its tests (SystemExit: {exc})"
            if exc.code not in (None, 0):
                return f"exit: SystemExit: {exc}"
        except BaseException as exc:  # noqa: BLE001  whatever a program raises is what became of it
            import contextlib

            with contextlib.suppress(BaseException):  # it may have closed stderr, or left no memory
                show(exc, given)
            return f"{'tests: ' if name == '<tests>' else ''}{told(exc)}"
    if tests is None:
        finish()
    return None


def finish() -> None:
    """What Python does at the end of a script."""
    import atexit

    if (threading := sys.modules.get("threading")) is not None:
        for thread in threading.enumerate():
            if thread is not threading.main_thread() and not thread.daemon:
                thread.join()
    atexit._run_exitfuncs()


def main() -> None:
    """Read the job, do it, report. The report bears a word that the program is not given: who ends early passes no test."""
    head, _, held = sys.stdin.buffer.read().partition(b"\n")
    first, word, size, *limits = head.decode().split()
    code, tests = (part.decode("utf-8", "surrogatepass") for part in (held[: int(size)], held[int(size) :]))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    fd, ours, write = int(first), os.getpid(), os.write
    os.set_inheritable(fd, False)
    os.chdir(os.environ["HOME"])
    write(fd, b"begun\n")
    limit(limits)
    error = performed(code, tests[1:] if tests else None)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # noqa: BLE001  it has closed it
            continue
    if os.getpid() == ours:
        write(fd, f"{word} {' '.join(error.split()) if error else ''}\n".encode("utf-8", "replace"))
    os._exit(0 if error is None else 1)


if __name__ == "__main__":
    main()
