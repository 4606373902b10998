"""What to cite for what a plan made, as BibTeX: as its sources and models ask for it, and the papers of its techniques."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dreamframe.cards import markdown as md
from dreamframe.models.papers import bibtex
from dreamframe.models.provenance import Provenance


def is_bibtex(citation: str | None) -> bool:
    """Whether a citation is BibTeX, and not an address or a text."""
    return citation is not None and citation.lstrip().startswith("@")


def citation_section(found: Sequence[Provenance], shown: Callable[[object], str]) -> list[str]:
    """The entries of everything that has one, each once."""
    entries = [p.citation if is_bibtex(p.citation) else bibtex(p.citation) for p in found if p.citation is not None]
    once = dict.fromkeys(shown(entry.strip()) for entry in entries if entry)
    return ["## Citation", md.block("\n\n".join(once), "bibtex")] if once else []
