"""What the README of a repository says of its licence and of how to cite it."""

from __future__ import annotations

import re
from typing import Any

BIBTEX = re.compile(r"^```[\w-]*[ \t]*\n\s*(@\w+\s*\{.*?)^```", re.DOTALL | re.MULTILINE)
FRONT = re.compile(r"\A\ufeff?---[ \t]*\n(.*?\n)?---[ \t]*(?:\n|\Z)", re.DOTALL)


def front_matter(readme: str) -> dict[str, Any]:
    """The YAML at the head of a README; empty where there is none that can be read.

    >>> front_matter("---\\nlicense: mit\\n---\\n# x")
    {'license': 'mit'}
    """
    found = FRONT.match(readme.replace("\r\n", "\n"))
    try:
        import yaml

        held = yaml.safe_load(found[1] or "") if found else None
    except Exception:  # noqa: BLE001  YAML of a stranger: whatever is wrong with it, it names no licence
        return {}
    return held if isinstance(held, dict) else {}


def licence_in(readme: str) -> str | None:
    """The licence that a README names, lower case; several as one text; one with terms of its own as "other (its name)".

    >>> licence_in("---\\nlicense: CC-BY-NC-4.0\\n---\\n"), licence_in("---\\nlicense: other\\nlicense_name: llama4\\n---\\n")
    ('cc-by-nc-4.0', 'other (llama4)')
    """
    front = front_matter(readme)
    named = front.get("license")
    names = [str(n).lower() for n in (named if isinstance(named, list) else [named]) if n]
    if names == ["other"] and isinstance(own := front.get("license_name"), str):
        return f"other ({own.lower()})"
    return ", ".join(names) or None


def citation_in(readme: str) -> str | None:
    """The first block of BibTeX in a README.

    >>> citation_in("## Citation\\n```latex\\n@misc{x, title={Y}}\\n```\\n")
    '@misc{x, title={Y}}'
    """
    found = BIBTEX.search(readme.replace("\r\n", "\n"))
    return found[1].strip() if found else None
