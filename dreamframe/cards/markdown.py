"""Text that cannot break out: of a Markdown line, a table's cell, a fenced block or a YAML value."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from dreamframe.redaction.key_shapes import without_keys
from dreamframe.redaction.redactor import Redactor

# Where people and clusters keep files; of a temporary folder in memory as well.
ROOTS = "home root Users tmp var mnt work data opt private srv media Volumes dev/shm run/user scratch gpfs lustre nfs fsx beegfs workspaces? kaggle dbfs"
LOCAL_PATH = re.compile(
    rf"(?<![\w./:])(?:/(?:{'|'.join(ROOTS.split())})(?:/[^\s'\"`<>|,;:)]+)*/"
    r"|[A-Za-z]:\\(?:[^\s'\"`<>|\\]+\\)*)"
)
SPECIAL = re.compile(r"([\\`*_{}\[\]!|~$^])")


def scrub(text: str, hides: Redactor | Iterable[str] = ()) -> str:
    """Without keys (those given, and what has the form of one), passwords in addresses, and folders of this machine.

    >>> scrub("ask sk-abcdefgh1234 of /home/ann/rows.csv")
    'ask *** of rows.csv'
    """
    hides = hides if isinstance(hides, Redactor) else Redactor(hides)
    return without_folders(without_keys(hides.text(text)))


def without_folders(text: str) -> str:
    """Files by their last name."""
    return LOCAL_PATH.sub("", text)


def shown(text: str, *, lines: bool = False) -> str:
    r"""With every character visible: control, direction and zero-width characters as escapes; `lines` keeps line ends.

    >>> shown("a\x07b")
    'a\\x07b'
    """
    return "".join(c if _is_plain(c) or (lines and c == "\n") else _escape(c) for c in (text.replace("\r\n", "\n") if lines else text))


def _is_plain(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _escape(char: str) -> str:
    return {"\n": "⏎", "\t": " "}.get(char) or char.encode("unicode_escape", "surrogatepass").decode()


def text(value: object) -> str:
    """Plain words inside a line: no markup, no HTML, no link.

    >>> text("a|b <b>*x*</b>")
    'a\\\\|b &lt;b&gt;\\\\*x\\\\*&lt;/b&gt;'
    """
    plain = SPECIAL.sub(r"\\\1", shown(str(value)).replace("&", "&amp;"))
    return plain.replace("<", "&lt;").replace(">", "&gt;").strip()


def code(value: object, *, cell: bool = False) -> str:
    """A code span; in a table's cell, pipes are escaped as GFM wants.

    >>> code("a`b")
    '``a`b``'
    """
    inside = shown(str(value)).strip() or "∅"
    if cell and ("|" in inside or inside.endswith("\\")):
        return text(inside)  # a backslash before an escaped pipe would free it
    ticks = "`" * (_longest_run(inside, "`") + 1)
    pad = " " if inside[0] == "`" or inside[-1] == "`" else ""
    return f"{ticks}{pad}{inside}{pad}{ticks}"


def block(value: str, language: str = "") -> str:
    """A fenced block whose fence is longer than any run of backticks inside."""
    fence = "`" * max(3, _longest_run(value, "`") + 1)
    return f"{fence}{language}\n{shown(value, lines=True)}\n{fence}"


def _longest_run(value: str, char: str) -> int:
    return max((len(run) for run in re.findall(f"{re.escape(char)}+", value)), default=0)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A GFM table of cells that are safe already."""
    lines = [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines)


def yaml_text(values: dict[str, Any]) -> str:
    """YAML front matter. Strings are written in double quotes, so that none is read as a number, a date or a tag."""
    return "---\n" + "".join(_entry(key, value, "") for key, value in values.items() if value not in (None, [], {})) + "---\n"


def as_read(value: Any) -> Any:
    """Values as a reader of `yaml_text` has them.

    >>> as_read({"a": ["x", None], "b": chr(7)})
    {'a': ['x', None], 'b': '\\\\x07'}
    """
    if isinstance(value, dict):
        return {k: as_read(v) for k, v in value.items()}
    return [as_read(v) for v in value] if isinstance(value, list) else shown(value) if isinstance(value, str) else value


def _entry(key: str, value: Any, indent: str) -> str:
    if isinstance(value, list):
        return f"{indent}{key}:\n" + "".join(_item(v, indent) for v in value)
    return f"{indent}{key}: {_scalar(value)}\n"


def _item(value: Any, indent: str) -> str:
    if not isinstance(value, dict):
        return f"{indent}- {_scalar(value)}\n"
    lines = "".join(_entry(k, v, f"{indent}  ") for k, v in value.items())
    return f"{indent}- {lines[len(indent) + 2 :]}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value if _is_word(value) else json.dumps(shown(value), ensure_ascii=False)
    return json.dumps(value)


def _is_word(value: str) -> bool:
    return re.fullmatch(r"[a-z][a-z-]*[a-z]", value) is not None and value not in ("yes", "no", "on", "off", "true", "false", "null")
