"""The README of a repository: one marked section and the front matter that we wrote are ours; what others wrote around them stays."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

from dreamframe.models.readme import FRONT, front_matter

BEGIN = re.compile(r"^<!-- dreamframe:begin ([0-9a-f]{12})((?: \w+=[0-9a-f]{12})*) [^\n]*-->$", re.MULTILINE)
UNMARKED = re.compile(  # the section of a card that an earlier version wrote
    r"^[^\n]*with \[dreamframe\]\(https://pypi\.org/project/dreamframe/\)\..*?^Fingerprint of the plan:[^\n]*(?:\n\nVersions: [^\n]*)?",
    re.DOTALL | re.MULTILINE,
)
KEY = re.compile(r"^([^\s#\-][^:\n]*):", re.MULTILINE)
OF_THE_ROWS = ("configs", "dataset_info")  # they say how the rows lie in the repository, and new rows are laid down anew


def marked(section: str, front: Mapping[str, Any]) -> str:
    """Our section between its marks. The first also tells by digests which front matter we wrote, to see later what others changed."""
    known = "".join(f" {name}={_digest(value)}" for name, value in front.items() if value not in (None, [], {}))
    own = hashlib.sha256(f"{section}{known}".encode("utf-8", "surrogatepass")).hexdigest()[:12]
    stays = "each push writes this section anew; what stands above it and below its end stays"
    return f"<!-- dreamframe:begin {own}{known} ({stays}) -->\n\n{section}\n\n<!-- dreamframe:end {own} -->"


def merged(ours: str, theirs: str) -> str:
    """The README to publish over one that is there: our section in the place of the last one (else at the end), our front matter where nobody changed it.

    >>> print(merged("---\\ntags:\\n- a\\n---\\n\\n# x\\n\\n" + marked("New.", {"tags": ["a"]}), "---\\nlicense: mit\\n---\\n\\n# My rows").split("<!--")[0])
    ---
    license: mit
    tags:
    - a
    ---
    <BLANKLINE>
    # My rows
    <BLANKLINE>
    <BLANKLINE>
    """
    theirs = theirs.replace("\r\n", "\n")
    if not theirs.strip():
        return ours
    our_text = FRONT.sub("", ours, count=1)
    front, their_text = _front(ours, theirs)
    section = _section(our_text)
    if section is None:
        return ours
    new = our_text[section[0] : section[1]]
    at = _section(their_text) or ((old.start(), old.end()) if (old := UNMARKED.search(their_text)) else None)
    text = f"{their_text.rstrip()}\n\n{new}\n" if at is None else f"{their_text[: at[0]]}{new}{their_text[at[1] :]}"
    return f"---\n{front}---\n{text if text.startswith(chr(10)) else chr(10) + text}"


def _section(text: str) -> tuple[int, int] | None:
    """Where our section stands: a begin whose end is there."""
    for found in BEGIN.finditer(text):
        end = f"<!-- dreamframe:end {found[1]} -->"
        if (at := text.find(end, found.end())) >= 0:
            return found.start(), at + len(end)
    return None


def _front(ours: str, theirs: str) -> tuple[str, str]:
    """The front matter of both, and the text below theirs. Lines are kept as they were written where that can be; what is no YAML at all is kept as text."""
    below = FRONT.sub("", theirs, count=1)
    values = front_matter(theirs)
    found = FRONT.match(theirs)
    is_blank = not found or all(not line.strip() or line.lstrip().startswith("#") for line in (found[1] or "").split("\n"))
    if values or is_blank:
        blocks = _merged_blocks(ours, theirs)
        if _are_plain(blocks) and _are_plain(_blocks(theirs)):
            return "".join(blocks.values()), below
        try:  # values in braces, anchors: lines that cannot be moved one by one
            plain = "".join(_dumped(name, value) for name, value in json.loads(json.dumps(values, default=str)).items())
            return "".join(_merged_blocks(ours, f"---\n{plain}---\n{below}").values()), below
        except (ValueError, TypeError, RecursionError):
            pass  # a value that holds itself
    return "".join(_blocks(ours).values()), theirs.removeprefix("\ufeff")


def _merged_blocks(ours: str, theirs: str) -> dict[str, str]:
    """The lines of both, by key. What we wrote last is ours to change; what others added or changed is theirs; what they took out stays out."""
    mine, yours = front_matter(ours), front_matter(theirs)
    my_blocks, your_blocks = _blocks(ours), _blocks(theirs)
    found = BEGIN.search(theirs)
    wrote = dict(pair.split("=") for pair in found[2].split()) if found else {}
    kept: dict[str, str] = {}
    for name, block in your_blocks.items():
        is_ours = name in wrote and wrote[name] == _digest(yours.get(name))
        if name in OF_THE_ROWS:
            kept |= _of_the_rows(name, mine.get(name), yours.get(name))
        elif name in my_blocks and not is_ours and name not in wrote and isinstance(mine.get(name), list) and isinstance(yours.get(name), list):
            kept[name] = _dumped(name, [*yours[name], *(v for v in mine[name] if v not in yours[name])])
        elif not is_ours:
            kept[name] = block
        elif name in my_blocks:
            kept[name] = my_blocks[name]
    added = {name: block for name, block in my_blocks.items() if name not in your_blocks and (name not in wrote or name in OF_THE_ROWS)}
    return {**kept, **added}


def _of_the_rows(name: str, mine: Any, yours: Any) -> dict[str, str]:
    """The entry of the rows that are pushed, and those of other configurations."""
    others = [e for e in yours if isinstance(e, dict) and e.get("config_name", "default") != "default"] if isinstance(yours, list) else []
    entries = [*(mine or []), *others]
    return {name: _dumped(name, entries)} if entries else {}


def _blocks(readme: str) -> dict[str, str]:
    """Key at the top of the front matter → its lines, as they were written."""
    found = FRONT.match(readme)
    text = (found[1] or "") if found else ""
    starts = [(m[1].strip().strip("'\""), m.start()) for m in KEY.finditer(text)]
    if not starts or starts[0][1] > 0:
        starts.insert(0, ("", 0))  # comments
    return {name: text[start:end] for (name, start), (_, end) in itertools.pairwise([*starts, ("", len(text))])}


def _are_plain(blocks: Mapping[str, str]) -> bool:
    """Whether lines are of the keys that they seem to be of, to a reader of YAML."""
    return {str(name) for name in front_matter(f"---\n{''.join(blocks.values())}---\n")} == blocks.keys() - {""}


def _dumped(name: str, value: Any) -> str:
    import yaml

    return str(yaml.safe_dump({name: value}, allow_unicode=True, sort_keys=False, default_flow_style=False))


def _digest(value: Any) -> str:
    try:
        told = json.dumps(value, sort_keys=True, default=str)
    except (ValueError, TypeError, RecursionError):  # one that holds itself, or keys that have no order: we wrote no such
        return ""
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:12]
