"""Calls that do not fit what is called: arguments that other libraries have, too many of them, or too few. Python's own error names a class of ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from dreamframe.errors import ArgumentError, did_you_mean, listed
from dreamframe.models.habits import example, public_name, signature, written

ARGUMENTS: Mapping[str, tuple[str, ...]] = {  # an argument of other libraries → what it may be called here
    "ascending": ("descending",), "reverse": ("descending",), "frac": ("fraction",), "random_state": ("seed",), "replace": ("with_replacement",),
    "axis": ("how",), "keys": ("on", "by"), "key": ("by", "on"), "max_rows": ("n",), "count": ("n",), "num_samples": ("n",), "column": ("into",),
    "output": ("into",), "output_column": ("into",), "name": ("into",), "model": ("llm",), "template": ("prompt",), "question": ("prompt",),
    "function": ("func",), "func": ("function",), "dtype": ("schema",), "return_dtype": ("schema",), "orient": (),
    "y_true": ("gold",), "target": ("gold",), "y_pred": ("prediction",), "y_score": ("score", "probability"), "y_prob": ("probability",),
    "positive": ("pos_label",), "level": ("confidence",), "rounds": ("draws",), "n_boot": ("draws",),
}  # fmt: skip
USAGE: Mapping[str, str] = {  # how a verb is called
    "prompt": "df.prompt(llm, 'Sum up {text}')",
    "extract": "df.extract(llm, {'city': str}, 'text')",
    "classify": "df.classify(llm, ['good', 'bad'], 'text')",
    "filter_by": "df.filter_by(llm, 'Is {text} about sports?')",
    "rank_by": "df.rank_by(llm, 'Rate {text} from 1 to 10')",
    "top_k_by": "df.top_k_by(llm, 'Rate {text} from 1 to 10', 3)",
    "score": "df.score(llm, {'clarity': 'easy to follow'}, 'text')",
    "judge": "df.judge(llm, a='one', b='other')",
    "join_by": "df.join_by(other, llm, 'Does {cv} fit {job}?')",
    "reduce_by": "df.group_by('key').reduce_by(llm, 'Sum up {text}')",
    "generate": "dr.generate(llm, 'Write a haiku.', n=3)",
    "converse": "df.converse(llm, '{question}', tools=[search])",
    "embed": "df.embed(embedder, 'text')",
    "similarity": "df.similarity('one', 'other', by=embedder)",
    "train": "df.train(dr.SFT(dr.SmolLM2()), prompt='question', completion='answer')",
    "dr.FunctionLLM": "dr.FunctionLLM(ask)",
    "dr.Chat": "dr.Chat([('system', 'Be brief.'), ('user', '{text}')])",
    "concat": "dr.concat([df, other])",
    "join": "df.join(other, on='key')",
    "map": "df.map(lambda row: row['a'] + 1, into='c', schema=int)",
    "dedup": "df.dedup('text')",
    "frame": "dr.frame({'a': [1, 2]})",
}
CALLS: Mapping[tuple[str, str], str] = {  # a verb and an argument → what is written
    ("rename", "columns"): "df.rename({'a': 'c'})",
    ("drop", "columns"): "df.drop('a', 'b')",
    ("drop", "axis"): "df.drop('a', 'b')  # columns; rows are left out by df.filter",
    ("sort", "ascending"): "df.sort('a', descending=True)  # without it the smallest come first",
    ("concat", "axis"): "dr.concat([df, other.select(c='a')], how='horizontal')",
    ("fill_null", "method"): "df.fill_null(strategy='forward')",
}
NEVER = {"inplace": " A frame never changes: verbs give new frames.", "ignore_index": " There is no index.", "index": " There is no index."}


def refuse_misfit(error: TypeError, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raise ArgumentError where a function was never entered, since its arguments do not fit. What its own lines raised is left alone."""
    if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
        return
    said = misfit(function, args, kwargs)
    if said:
        raise ArgumentError(said) from None


def misfit(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """What is wrong with a call; empty where nothing is.

    >>> misfit(dr.Frame.head, (dr.frame({"a": [1]}), 1), {"row": 2})
    "head: no argument 'row'. Possible: 'n'."
    """
    called = inspect.signature(function)
    try:
        called.bind(*args, **kwargs)
    except TypeError:
        own = [p for p in called.parameters.values() if p.name != "self" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    else:
        return ""
    takes_self = next(iter(called.parameters), None) == "self"
    kind = type(args[0]) if takes_self and function.__name__ == "__init__" and args else None
    verb = public_name(kind) if kind is not None else function.__name__
    given = args[1:] if takes_self else args
    names = [p.name for p in own]
    by_place = [p for p in own if p.kind is not p.KEYWORD_ONLY]
    for name in kwargs:
        if name not in names:
            return f"{verb}: no argument {name!r}.{_instead(verb, name, names)} Possible: {listed(names, most=40)}."
    if len(given) > len(by_place):
        first = f"only {', '.join(p.name for p in by_place)} can" if by_place else "none can"
        more = f" By name: {listed(named, most=40)}." if (named := [p.name for p in own if p.kind is p.KEYWORD_ONLY]) else ""
        stand = f"{len(given)} values stand" if len(given) > 1 else "a value stands"
        return f"{verb}: {stand} without a name; {first}.{more}{_several(verb)}"
    twice = next((p.name for p in by_place[: len(given)] if p.name in kwargs), None)
    if twice is not None:
        return f"{verb}: {twice}= is given twice, once without its name."
    needed = [p.name for p in own[len(given) :] if p.default is p.empty and p.name not in kwargs]
    return f"{verb}: {' and '.join(f'{n}=' for n in needed)} {'is' if len(needed) == 1 else 'are'} missing.{_usage(verb, kind)}"


def _instead(verb: str, name: str, names: list[str]) -> str:
    """The argument that is meant, or the line that is written."""
    if (verb, name) in CALLS:
        return f" {written(CALLS[verb, name])}"
    meant = next((own for own in ARGUMENTS.get(name, ()) if own in names), None)
    return f" Did you mean {meant!r}?" if meant else NEVER.get(name) or did_you_mean(name, names)


def _several(verb: str) -> str:
    return " Several frames are given as a list: dr.concat([one, other])." if verb in ("concat", "collect_all") else ""


def _usage(verb: str, kind: Any) -> str:
    """How it is called; nothing where a line would say no more."""
    if kind is not None and verb not in USAGE and not any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in signature(kind).parameters.values()):
        return f" Write {example(kind)}."
    return f" Write {USAGE[verb]}." if verb in USAGE else ""
