"""Parts of pages that are made of the package when the pages are built: settings of trainers, errors, names, tables that tests run."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import dreamframe as dr
from dreamframe.frame.other_names import FRAME, MODULE
from dreamframe.models.base import LLM
from dreamframe.models.told import settings_of
from dreamframe.names import NAMES, named, providers, public_names
from dreamframe.trainers.base import Trainer
from dreamframe.view.cli import COMMANDS
from dreamframe.view.guard import CODES

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"^<!-- made: (\w+) -->$", re.MULTILINE)
ADVICE: Mapping[str, str] = {  # error → what to do
    "PlanError": "Read the last line: it names the step, what it saw and what is possible. Nothing has run and nothing was paid.",
    "ColumnNotFoundError": "Use one of the columns that the message lists; `df.schema` has them with types.",
    "DuplicateColumnError": "Give the new column another name with `into=`, or drop the old one first.",
    "TemplateError": "Write `{column}` for a column and `{{` for a brace.",
    "SchemaError": "Give `bool`, `int`, `float`, a `Literal`, a list of labels, `{\"city\": str}`, a pydantic model or a JSON schema.",
    "SettingError": "The message lists what is possible, the nearest first.",
    "ArgumentError": "Compare with the verb's signature: `help(df.prompt)`.",
    "FingerprintError": "Say what the value is: `dr.versioned(fn, version=1)` for functions that cannot be read.",
    "NotAllowedError": "If you trust the plan, list what it needs: `dr.from_json(text, allow=[…])`.",
    "PlanFormatError": "Hand over the functions that it names: `functions=[…]`.",
    "MissingExtraError": "Run the pip line of the message.",
    "MissingWeightsError": "Run the pip line of the message.",
    "RunError": "What came back is kept. Mend the cause and run the same script again: only the rest is asked.",
    "RowsFailedError": "`df.failures()` shows request and answer of each. Run again for calls that failed; `df.retry()` for answers that could not be read.",
    "SourceChangedError": "Run again when nothing writes to the file.",
    "SourceUnreadableError": "Open the file with polars alone: `pl.read_csv(path)` tells more.",
    "BudgetExceededError": "Raise `budget=`, or look first: `df.estimate()`.",
    "TooFewRowsError": "Raise `max_candidates=`, or weaken the condition `where=`.",
    "OfflineError": "Run once without `offline=True`; `session.why_miss(df)` tells which part of the plan is new.",
    "AgreementError": "Use `asked=\"pairs\"`, or allow it: `otherwise=\"pairs\"`.",
    "TrainingError": "The message says which rows or settings; `model.summary()` has the notes of a training that ended.",
    "CallError": "Of a row: see `df.failures()`.",
    "TransientCallError": "It was tried again already (`attempts=`). Run again later: only these rows are asked.",
    "RateLimitedError": "Nothing, mostly: it waits as long as the server says. `rpm=` and `tpm=` of the model hold the pace below the limit.",
    "ServerError": "Run again later.",
    "CallTimeoutError": "Raise `timeout_s=` of the model, or lower `concurrency=`.",
    "ConnectionFailedError": "Check the address and whether the server runs; proxies of the environment are obeyed.",
    "BadReplyError": "Check `base_url=`: most servers want it to end in `/v1`.",
    "PermanentCallError": "Change the request: the same one would fail again.",
    "BadRequestError": "Read what the server said: often the model's name, or a setting that it does not take.",
    "ContextLengthError": "Shorten the prompt; `dr.Rag` and `dr.FewShot` take `context=` in tokens.",
    "AuthenticationError": "Set the key's variable (the message names it) or `api_key=`.",
    "QuotaExhaustedError": "Add credit at the provider, then run again.",
    "AnswerError": "`df.failures()` shows what it answered; `df.retry()` asks anew.",
    "ParseError": "`df.retry()` asks anew. If it stays so: `schema=` instead of `parse=`, or a clearer prompt.",
    "TruncatedError": "Raise `max_tokens=`.",
    "RefusedError": "Change the prompt, ask another model, or go on without the row: `on_error=\"null\"`.",
    "GateError": "Look at `report`: the figures are the message. This is meant to end a CI job.",
    "HubError": "Run `hf auth login`, or check the name; what was there before is there still.",
    "ForkedError": "Start processes by `multiprocessing.get_context(\"spawn\")`.",
    "StoreError": "Name a folder of your own: `dr.Session(\"./output\")`.",
    "SessionFormatError": "Upgrade: `pip install -U dreamframe`.",
    "CorruptFileError": "`session.verify()` lists what is damaged; it is set aside and made again.",
    "StorageError": "Free the disk, or take a folder that can be written to.",
}  # fmt: skip


def trainers() -> dict[str, type[Trainer]]:
    """Public name → class, in the order of the names."""
    found = {name: named(name) for name, module in NAMES.items() if module.startswith("trainers.")}
    return {name: kind for name, kind in found.items() if isinstance(kind, type) and issubclass(kind, Trainer)}


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [" | ".join(cell if cell.startswith("`") else cell.replace("|", "\\|") for cell in row) for row in [head, *rows]]
    return "\n".join([f"| {lines[0]} |", "|" + " --- |" * len(head), *(f"| {line} |" for line in lines[1:])])


def made_trainers() -> str:
    """A section a trainer: what it learns from, and every setting with type, default and remark."""
    parts: list[str] = []
    for name, kind in trainers().items():
        ways = "; or ".join(", ".join(f"`{role}`" for role in way.kinds) for way in kind.ways)
        columns = f"Columns: {ways or 'see the reference'}."
        parts += [f"### dr.{name}", first_line(kind), columns, settings_table(kind)]
    return "\n\n".join(parts)


def first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ")


def errors() -> Iterator[tuple[int, type[Exception]]]:
    """Every error with its depth in the tree, parents first."""

    def below(kind: type[Exception], depth: int) -> Iterator[tuple[int, type[Exception]]]:
        yield depth, kind
        for child in kind.__subclasses__():
            if child.__module__ == "dreamframe.errors":
                yield from below(child, depth + 1)

    return below(dr.errors.DreamframeError, 0)


def made_errors() -> str:
    """One row an error: what it means and what to do."""
    rows = [("&emsp;" * (depth - 1) + f"`{kind.__name__}`", first_line(kind), ADVICE[kind.__name__]) for depth, kind in errors() if depth]
    return table(("error", "means", "what to do"), rows)


def made_providers() -> str:
    """One row a class of models behind an API or a server: its word for `dr.llm`, and the variable of its key."""
    rows = []
    for word, name in providers().items():
        kind = named(name)
        if key := getattr(kind, "key_variable", ""):
            rows.append((f"`dr.{name}`", f'`"{word}/…"`', f"`{key}`", first_line(kind).partition(" Key: ")[0]))
    return table(("model", "as a string", "key", ""), rows)


def settings_table(kind: type, *, without: Collection[str] = ()) -> str:
    rows = [(f"`{n}`", f"`{t}`", f"`{d}`", said) for n, t, d, said in settings_of(kind) if n not in without]
    return table(("setting", "type", "default", "meaning"), rows)


def made_api() -> str:
    """The settings that models behind OpenAI's protocol share."""
    return settings_table(dr.OpenAI, without=("variant",))


def made_local() -> str:
    """The settings of models of this process, beside those of sampling."""
    shared = [f.name for f in fields(LLM) if f.name != "model"]
    return "\n\n".join(f"### dr.{kind.__name__}\n\n{settings_table(kind, without=shared)}" for kind in (dr.LlamaCpp, dr.Transformers, dr.VLLM))


def made_commands() -> str:
    """One row a command."""
    return table(("command", ""), [(f"`dreamframe {command.__name__}`", first_line(command)) for command in COMMANDS])


def made_exit_codes() -> str:
    """One row an exit code of the commands."""
    found = re.findall(r"^  (\d+) +(.+(?:\n {7}.+)*)", CODES, re.MULTILINE)
    return table(("code", "means"), [(f"`{code}`", " ".join(said.split())) for code, said in found])


def made_results() -> str:
    """What `make bench` measured, without its headline."""
    return (ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8").partition("\n")[2].strip()


def made_names() -> str:
    """Every public name with the first line of its documentation."""
    rows = [(f"`dr.{name}`", first_line(getattr(dr, name))) for name in sorted({*dir(dr), *public_names()}, key=str.lower)]
    return table(("name", ""), rows)


def made_pandas() -> str:
    """What those used to pandas, eager polars and other libraries write, and what is written here."""
    return other_names(FRAME, "df.{}")


def made_module() -> str:
    return other_names(MODULE, "{}")


def other_names(held: Mapping[str, str], left: str) -> str:
    by_line: dict[str, list[str]] = {}
    for name, line in held.items():
        by_line.setdefault(line, []).append(name)
    rows = []
    for line, names in by_line.items():
        code, _, remark = line.partition("  # ")
        rows.append((", ".join(f"`{left.format(n)}`" for n in names), f"`{code}`", remark))
    return table(("there", "here", ""), rows)


def made_security() -> str:
    return (ROOT / "SECURITY.md").read_text("utf-8").partition("\n")[2]


MADE: Mapping[str, Callable[[], str]] = {name.removeprefix("made_"): value for name, value in list(globals().items()) if name.startswith("made_")}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """What mkdocs calls for each page: the marks are replaced by what they stand for."""
    return MARK.sub(lambda found: MADE[found[1]](), markdown)
