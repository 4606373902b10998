"""What whoever makes rows says of them: their licence, how to cite them, where they come from. For the cards."""

from __future__ import annotations

from typing import TypeVar

from dreamframe.errors import SettingError
from dreamframe.frame.base import Verbs
from dreamframe.plan.step import Step

S = TypeVar("S", bound=Step)


V = TypeVar("V", bound="CiteVerbs")  # Self, as jedi understands it too


class CiteVerbs(Verbs):
    """cite."""

    __slots__ = ()

    def cite(self: V, *, license: str | None = None, citation: str | None = None, url: str | None = None, name: str | None = None) -> V:
        """Say under which licence these rows stand, what to cite for them, and where they come from. Cards tell it; no row and no key changes.

        Right after a source it speaks of the source. Later in a plan it speaks of the rows so far: `license=` is then that of the whole, as long as no
        further model is asked and no other rows are joined; what stands against it is named all the same.

        `license` is the Hub's word for it ("mit", "cc-by-4.0"), or the name of another one; `citation` BibTeX or an address; `name` what the cards
        call the rows. Saying it again replaces what was said. Raises SettingError where nothing is said, and for what is not a text.

        >>> reviews = dr.frame({"review": ["Warm light."]}).cite(license="cc-by-4.0", name="Lamp reviews", citation="@misc{lamps, title={Lamps}}")
        >>> print(reviews.card("me/lamps").split("---")[1].strip().splitlines()[0])
        license: "cc-by-4.0"
        """
        return self._over(cited(self.step, license=license, citation=citation, url=url, name=name))


def cited(step: S, **said: str | None) -> S:
    """The same step, of which this is said besides."""
    given = {what: text for what, text in said.items() if text is not None}
    if not given:
        raise SettingError("cite: say something: license=, citation=, url= or name=.")
    for what, text in given.items():
        if not isinstance(text, str) or not text.strip():
            raise SettingError(f"cite: {what}={text!r} is not a text.")
    plain = {what: text.strip().lower() if what == "license" else text.strip() for what, text in given.items()}
    return step.but(cited=tuple(sorted({**dict(step.cited), **plain}.items())))
