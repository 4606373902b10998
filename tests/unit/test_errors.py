"""The tree of errors: what its picture shows is what there is."""

from __future__ import annotations

import re

from dreamframe import errors


def pictured() -> dict[str, str]:
    """Error → the one above it in the picture."""
    found: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if (row := re.match(r"    ((?:│   |    )*(?:[├└]── )?)(\w+Error)\b", line)) is not None:
            depth = len(row[1]) // 4
            del above[depth:]
            found[row[2]] = above[-1] if above else "Exception"
            above.append(row[2])
    return found


def test_the_picture_shows_every_error_under_its_base():
    own = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, Exception) and v.__module__ == errors.__name__]
    assert pictured() == {kind.__name__: kind.__bases__[0].__name__ for kind in own}


def test_what_the_picture_says_an_error_also_is_it_is():
    told = re.findall(r"(\w+Error) +also ([\w.]+)", errors.__doc__ or "")
    assert len(told) >= 4
    for name, other in told:
        assert other.rpartition(".")[2] in {base.__name__ for base in getattr(errors, name).__bases__}
