"""What a plan that was read may reach: providers' own addresses, the working folder, and what its reader listed. No more is lent to it.

A plan that the user wrote has the authority of the user: its `authority` is None, and nothing here is asked. The reader of plans alone sets it, on every
step, model, trainer and prompt that it makes. It steers and is not part of any identity: a plan is the same plan, and finds the same answers, whoever
read it. No text can hold it, so a plan that is written and read again has the authority of its new reader.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit

from dreamframe.errors import NotAllowedError, SettingError

PORTS = {"http": 80, "https": 443}
HARMLESS = frozenset(  # arguments whose texts and lists name a way of working, and no place
    {"optim", "lr_scheduler_type", "lr_scheduler_kwargs", "loss_type", "loss_weights", "reasoning", "reasoning_effort", "effort", "thinking", "verbosity"}
    | {"chat_template_kwargs", "response_format", "logprobs", "service_tier", "hyperparameters", "guided_regex", "guided_choice", "grammar", "options"}
    | {"eval_strategy", "save_strategy", "logging_strategy", "group_by_length", "neftune_noise_alpha", "tool_choice", "safety_settings", "samplers"}
    | {"f_divergence_type", "scale_rewards", "importance_sampling_level", "padding_side", "truncation_mode", "warmup_steps", "stop", "bad_words"}
    | {"peft_type", "task_type", "bias", "target_modules", "exclude_modules", "modules_to_save", "init_lora_weights", "layers_to_transform"}
    | {"layers_pattern", "rank_pattern", "alpha_pattern"}
)
REACHING = ("push", "hub", "resume", "vllm", "use_vllm", "ssl", "trust", "report_to", "deepspeed", "fsdp")  # starts of names that no number makes harmless
NOTHING: tuple[Any, ...] = (None, "none", "no", "auto", False, (), [], {})  # values that ask for nothing


def lent() -> Any:
    """The field of a model, a trainer or a prompt that says what it may reach: None for what the user wrote."""
    return field(default=None, kw_only=True, repr=False, metadata={"runtime": True, "is_lent": True})


@dataclass(frozen=True)
class Authority:
    """What the reader of a plan listed: addresses or hosts, paths or globs, repositories of the Hub, names of arguments.

    >>> mine = Authority(("http://localhost:8000/v1", "/data/*.csv"))
    >>> mine.has_address("http://localhost:8000/v1"), mine.has_address("http://localhost:8001/v1"), mine.has_path("/data/a.csv"), mine.has_path("/data/a.txt")
    (True, False, True, False)
    """

    listed: tuple[str, ...] = ()

    @classmethod
    def of(cls, allow: Iterable[str | os.PathLike[str]]) -> Authority:
        """The authority of `allow=`. Raises SettingError for what is not a list of texts."""
        listed = [] if isinstance(allow, str | bytes | os.PathLike) else list(allow)
        if isinstance(allow, str | bytes | os.PathLike) or not all(isinstance(entry, str | os.PathLike) and str(entry) for entry in listed):
            raise SettingError(f"allow={allow!r} is not a list of addresses and paths, like allow=['http://localhost:8000/v1', '/data/*.csv'].")
        return cls(tuple(map(str, listed)))

    # Addresses

    def has_address(self, url: str) -> bool:
        """Whether an address, or its host, was listed."""
        return any(is_below(url, entry) for entry in self.listed)

    def address(self, url: str, *, who: str, own: str = "", why: str = "sends its rows to") -> None:
        """Raise NotAllowedError for an address that is neither the provider's own nor listed."""
        if (own and is_below(url, own)) or self.has_address(url):
            return
        seen = shown(url)
        instead = f" That is not {own}, its provider's own." if own else ""
        raise NotAllowedError(f"{who} {why} {seen}.{instead} No key and no row goes there unless you list it where you read the plan: allow=[{seen}].")

    # Paths

    def has_path(self, text: str) -> bool:
        """Whether a path or a glob was listed: itself, by a glob, or by a folder that it is in."""
        path = os.path.expanduser(text)
        path = os.path.realpath(path) if ".." in PurePath(path).parts else os.path.abspath(path)
        return any(_holds_path(os.path.abspath(os.path.expanduser(entry)), path) for entry in self.listed if "://" not in entry)

    def path(self, text: str, *, who: str) -> None:
        """Raise NotAllowedError for a path, or a glob, that leads out of the working folder or to what is hidden in it, and was not listed."""
        if "://" in text:
            return self.address(text, who=who, why="reads")
        if is_inside(text) or self.has_path(text):
            return None
        raise NotAllowedError(
            f"{who} reads {shown(text)}, which is outside the working folder or hidden in it, and the plan is not one that you wrote here. "
            f"If it may, say so where you read the plan: allow=[{shown(text)}]."
        )

    def weights(self, name: str, *, who: str) -> None:
        """Raise NotAllowedError for weights outside the working folder, or that a link in their folder leads to."""
        self.path(name, who=who)
        if not self.has_path(name) and os.path.isdir(name):
            for link in _links(name):
                self.path(link, who=who)

    def dataset(self, name: str) -> None:
        """Raise NotAllowedError for what the datasets library would not look for on the Hub: a folder elsewhere, or one of its builders ("csv")."""
        self.path(name, who="scan_hub")
        if "/" not in name and not self.has_repository(name):
            what = f"scan_hub reads {shown(name)}, which may be files of yours as well as a data set of the Hub"
            raise NotAllowedError(f"{what}. If it may: allow=[{shown(name)}].")

    def has_repository(self, name: str) -> bool:
        """Whether the user's token may be shown to the Hub for a repository. Public ones need none."""
        return name in self.listed or f"hf://{name}" in self.listed

    # Arguments

    def arguments(self, given: Mapping[str, Any], *, who: str) -> None:
        """Raise NotAllowedError for arguments that are handed to another library and may name a place: it would open, ask or tell whatever they say."""
        for name, value in given.items():
            if name in self.listed or any(value is n or (type(value) is type(n) and value == n) for n in NOTHING):
                continue
            is_plain = name in HARMLESS or isinstance(value, bool | int | float)
            if not is_plain or name.lower().startswith(REACHING) or any("://" in text for text in _texts(value)):
                what = f"{name}={str(value)[:80]!r}"
                raise NotAllowedError(f"{who} gives {what} to another library, and the plan is not one that you wrote here. If it may: allow=[{name!r}].")


def origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an address; None where it has none, or hides credentials in it."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    if not parts.hostname or "@" in parts.netloc or "\\" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port


def is_inside(text: str) -> bool:
    """Whether a path, or all that a glob can match, lies in the working folder, wherever links lead, and is not hidden in it."""
    if "\0" in text:
        return False
    parts = PurePath(os.path.expanduser(text)).parts
    is_name = os.path.lexists(os.path.expanduser(text))  # a file may be called "data[1].csv"
    magic = next((i for i, part in enumerate(parts) if glob.has_magic(part) and not is_name), len(parts))
    if ".." in parts[magic:]:
        return False
    here, there = os.path.realpath(os.getcwd()), os.path.realpath(os.path.join(*(parts[:magic] or (".",))))
    if there != here and not there.startswith(here.rstrip(os.sep) + os.sep):
        return False
    return not any(part.startswith(".") for part in (*Path(there).relative_to(here).parts, *parts[magic:]))


def shown(text: str) -> str:
    """An address or a path as a quoted text that shows what it is: no control characters, and of a host no letters that look like others."""
    return ascii(text) if "://" in text or not text.isprintable() else repr(text)


def reached(value: Any) -> Iterator[str]:
    """The addresses and whole paths that a value of a step reaches for, beside what its short name says, for explain()."""
    if isinstance(value, tuple):
        for part in value:
            yield from reached(part)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from value.reaches() if hasattr(value, "reaches") else ()
        for f in fields(value):
            yield from reached(getattr(value, f.name, None))


def is_place(text: str) -> bool:
    """Whether a model's name is written as a path."""
    return text.startswith(("/", "~", ".")) or ".." in PurePath(text).parts


def is_below(url: str, entry: str) -> bool:
    """Whether an address is another one, or lies below it; `entry` may also be a host, with or without a port.

    >>> is_below("http://gpu1:8000/v1", "gpu1"), is_below("http://gpu1:8000/v1", "http://gpu1:8000"), is_below("http://gpu1:8000/v12", "http://gpu1:8000/v1")
    (True, True, False)
    """
    wanted = origin(url)
    if wanted is None or {".", ".."} & set(urlsplit(url).path.split("/")):
        return False
    if "://" not in entry:
        host, _, port = entry.lower().rpartition(":") if ":" in entry and "/" not in entry else (entry.lower(), "", "")
        return wanted[1] == host.strip("[]") and (not port or port == str(wanted[2]))
    path, below = urlsplit(entry).path.rstrip("/"), urlsplit(url).path.rstrip("/")
    return origin(entry) == wanted and (below == path or below.startswith(path + "/"))


def _holds_path(entry: str, path: str) -> bool:
    if path == entry:
        return True
    given, known = PurePath(path).parts, PurePath(entry).parts
    if not glob.has_magic(entry):
        return given[: len(known)] == known and ".." not in given
    if any(glob.has_magic(part) for part in given):
        return known[-1] == "**" and not glob.has_magic(str(PurePath(*known[:-1]))) and given[: len(known) - 1] == known[:-1]
    return _matches(given, known)


def _matches(given: tuple[str, ...], known: tuple[str, ...]) -> bool:
    """Whether the parts of a path match those of a glob, `**` standing for any number of them."""
    if not known:
        return not given
    if known[0] == "**":
        return any(_matches(given[i:], known[1:]) for i in range(len(given) + 1)) or len(known) == 1
    return bool(given) and fnmatch.fnmatchcase(given[0], known[0]) and _matches(given[1:], known[1:])


def _links(folder: str) -> Iterator[str]:
    for root, names, files in os.walk(folder):
        yield from (path for name in (*names, *files) if os.path.islink(path := os.path.join(root, name)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, held in value.items():
            yield from (str(name), *_texts(held))
    elif isinstance(value, list | tuple):
        for held in value:
            yield from _texts(held)
