"""What a machine lacks, as one error with one line for pip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dreamframe.errors import AuthenticationError, DreamframeError, MissingExtraError, MissingWeightsError, SettingError


def together(errors: Sequence[DreamframeError]) -> DreamframeError:
    """Several such errors as one, with one line for pip."""
    said = list({str(error): error for error in errors}.values())
    if len(said) == 1:
        return said[0]
    lines = [error.missing if isinstance(error, MissingExtraError) else str(error) for error in said]
    text = "\n".join(["the run needs what is not here; nothing was read or asked:", *(f"  {line}" for line in dict.fromkeys(lines))])
    extras = [error for error in said if isinstance(error, MissingExtraError)]
    if not extras:
        return SettingError(text) if any(isinstance(error, SettingError) for error in said) else AuthenticationError(text)
    names = ", ".join(error.library for error in extras)
    return MissingExtraError(names, extra=extras[0].extra, needed_for="the run", said=f"{text}\nInstall it with: {pip_line(extras)}")


def pip_line(missing: Iterable[MissingExtraError]) -> str:
    """One line that installs all of it. What is installed without its own requirements needs a call of its own."""
    errors = list(missing)
    weights = [e for e in errors if isinstance(e, MissingWeightsError)]
    extras = sorted({e.extra for e in errors if e.extra is not None and not isinstance(e, MissingWeightsError)})
    beside = sorted({e.library for e in errors if (not e.is_alone if isinstance(e, MissingWeightsError) else e.extra is None)})
    alone = sorted({e.library for e in weights if e.is_alone})
    wanted = [*([f"'dreamframe[{','.join(extras)}]'"] if extras else []), *beside]
    lines = [*([f"pip install {' '.join(wanted)}"] if wanted else []), *([f"pip install --no-deps {' '.join(alone)}"] if alone else [])]
    return " && ".join(lines)
