"""Names that people bring from other libraries, and what is written here instead: for the settings of models and trainers.

A row is a name and a line of code that runs, perhaps with a remark after a `#`. The tables of frames are in `frame/habits.py`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dreamframe.errors import SettingError, did_you_mean, listed

ONE_QUESTION = "dr.frame({'q': ['How are you?']}).prompt(llm, '{q}').collect()  # of a frame: df.prompt(llm, 'Sum up {text}')"
EMBEDDING = "df.embed(embedder, 'text')  # vectors are a column, and kept"
TRAINING = "df.train(trainer, prompt='q', completion='a').fit()"
ASKED = (*("ask", "chat", "complete", "completion", "completions", "generate", "invoke", "predict", "prompt", "query", "responses", "run", "stream"), "batch")
SETTINGS: Mapping[str, str] = {
    **dict.fromkeys(ASKED, ONE_QUESTION),
    **dict.fromkeys(("encode", "embed", "embeddings", "embed_documents", "embed_query", "transform"), EMBEDDING),
    **dict.fromkeys(("fit", "train"), TRAINING),
    "classify": "df.classify(model, ['good', 'bad'], 'text')",
    "save_model": "df.train(trainer, prompt='q', completion='a').export('model')",
}
ALIASES: Mapping[str, tuple[str, ...]] = {  # a setting of other libraries → what it may be called here
    "api_base": ("base_url",), "endpoint": ("base_url",), "url": ("base_url",), "host": ("base_url",), "azure_endpoint": ("base_url",),
    "key": ("api_key",), "token": ("api_key",), "openai_api_key": ("api_key",),
    "model_name": ("model", "base"), "model_id": ("model", "base"), "name": ("model",), "deployment": ("model",), "path": ("model", "base"), "model": ("base",),
    "max_new_tokens": ("max_tokens",), "max_completion_tokens": ("max_tokens",), "max_output_tokens": ("max_tokens",), "num_predict": ("max_tokens",),
    "temp": ("temperature",), "system_prompt": ("system",), "instructions": ("system",), "stop_sequences": ("stop",),
    "max_retries": ("attempts",), "retries": ("attempts",), "timeout": ("timeout_s",), "max_concurrency": ("concurrency",), "workers": ("concurrency",),
    "lr": ("learning_rate",), "num_train_epochs": ("epochs",), "n_epochs": ("epochs",), "max_steps": ("steps",),
    "per_device_train_batch_size": ("batch_size",), "peft_config": ("peft",), "lora": ("peft",),
    "budget": ("labels",), "sample_size": ("labels",), "n_labels": ("labels",),
    "failure_probability": ("delta",), "confidence": ("delta",), "target": ("recall",),
    "quantization_config": ("quantization",), "torch_dtype": ("dtype",),
}  # fmt: skip


def instead(what: str, name: str, table: Mapping[str, str]) -> str:
    """The error for a name of another library.

    >>> instead("a frame", "merge", {"merge": "df.join(other, on='key')  # as in SQL"})
    "a frame has no 'merge'. Write df.join(other, on='key') (as in SQL)."
    """
    return f"{what} has no {name!r}. {written(table[name])}"


def written(row: str) -> str:
    """A row of a table as a sentence."""
    code, _, remark = row.partition("  # ")
    return f"Write {code}{f' ({remark})' if remark else ''}."


class Settings:
    """A frozen record of settings that says what is wrong with the call that makes it, and what is written for a name of another library."""

    __slots__ = ()

    if not TYPE_CHECKING:  # type checkers know the fields, and tell what is none

        def __new__(cls, *args: Any, **settings: Any) -> Any:
            if args or settings:
                check_call(cls, args, settings)
            return super().__new__(cls)

        def __getattr__(self, name: str) -> Any:
            if name not in SETTINGS or hasattr(type(self), name):  # or a property of ours raised it: Python's own error, once more
                return object.__getattribute__(self, name)
            raise AttributeError(instead(public_name(type(self)), name, SETTINGS), name=name)


def check_call(kind: type, args: tuple[Any, ...], settings: Mapping[str, Any]) -> None:
    """Raise SettingError for a keyword that a class of settings does not have, with the one that is meant, and for what must be given by name."""
    held = signature(kind)
    try:
        held.bind_partial(*args, **settings)
    except TypeError:
        own = [name for name in held.parameters if name != "authority"]
        unknown = next((name for name in settings if name not in held.parameters), None)
        if unknown is not None:
            raise SettingError(f"{public_name(kind)}: no setting {unknown!r}.{_hint(unknown, own)} Possible: {listed(own, most=60)}.{_more(own)}") from None
        by_place = [p.name for p in held.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        if len(args) > len(by_place):
            first = ", ".join(by_place) or "nothing"
            raise SettingError(f"{public_name(kind)}: {len(args)} values stand without a name; only {first} can. By name: {listed(own, most=60)}.") from None
        raise SettingError(f"{public_name(kind)}: {by_place[0]}= is given twice, once without its name.") from None


@functools.cache
def signature(kind: type) -> inspect.Signature:
    """How a class of settings is called."""
    made = inspect.signature(kind.__init__)  # type: ignore[misc]
    return made.replace(parameters=list(made.parameters.values())[1:])


def example(kind: type) -> str:
    """How a class of settings is called, in short.

    >>> example(dr.OpenAI), example(dr.SmolLM2)
    ("dr.OpenAI('…')", 'dr.SmolLM2()')
    """
    needed = [p for p in signature(kind).parameters.values() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    return f"{public_name(kind)}({', '.join(repr('…') for _ in needed)})"


def described(value: object) -> str:
    """What a value is, for the error of one that stands in a wrong place.

    >>> described(dr.OpenAI), described(3), described("Sum up {text}"), described(dr.SmolLM2())
    ('the class dr.OpenAI', 'the int 3', "'Sum up {text}'", 'a dr.SmolLM2')
    """
    if isinstance(value, type):
        return f"the class {public_name(value)}"
    if isinstance(value, Settings):
        return f"a {public_name(type(value))}"
    if inspect.isroutine(value):
        return f"the function {getattr(value, '__name__', '')}"
    text = repr(value)[:60] + ("…" if len(repr(value)) > 60 else "")
    if value is None or isinstance(value, str):
        return text
    if isinstance(value, int | float | list | tuple | dict | set):
        return f"the {type(value).__name__} {text}"
    if type(value).__module__.startswith("dreamframe.frame."):
        return f"a {type(value).__name__.lower()}"
    kind, module = type(value).__qualname__, type(value).__module__.partition(".")[0]
    return f"an object of type {kind if module in ('builtins', '__main__', 'dreamframe') else f'{module}.{kind}'}"


def called(value: object) -> str:
    """For a class that stands in the place of its objects: the call that makes one. Nothing for anything else."""
    return f" Call it: {example(value)}." if isinstance(value, type) and issubclass(value, Settings) else ""


def public_name(kind: type) -> str:
    """How users write a class."""
    module = kind.__module__
    return f"dr.testing.{kind.__name__}" if module == "dreamframe.testing" else f"dr.{kind.__name__}" if module.startswith("dreamframe.") else kind.__name__


def _hint(name: str, own: list[str]) -> str:
    meant = next((alias for alias in ALIASES.get(name, ()) if alias in own), None)
    return f" Did you mean {meant!r}?" if meant else did_you_mean(name, own)


def _more(own: list[str]) -> str:
    if "args" in own:
        return " Further settings of the library that trains: args={...}."
    return " Further arguments of the provider: extra={...}." if "extra" in own else ""
