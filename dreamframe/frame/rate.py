"""Verbs that have a model rate rows: one by one with a number, or by the criteria of a rubric."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Self, TypeVar

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.frame.arguments import as_llm, need_column, need_order
from dreamframe.frame.ask import AskVerbs
from dreamframe.frame.base import whole
from dreamframe.frame.keeps import need_reading
from dreamframe.frame.model import Model
from dreamframe.frame.plan_warnings import warn_of_criterion, warn_of_no_scale, warn_of_system, warn_of_unread
from dreamframe.models.base import LLM
from dreamframe.models.request import Sampling
from dreamframe.plan.hidden import hidden
from dreamframe.plan.step import OnError
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.prompts.base import Prompt, Template
from dreamframe.prompts.parsers import FirstNumber
from dreamframe.prompts.templates import literal, placeholder

JUDGING = "https://arxiv.org/abs/2306.05685"  # Zheng et al. 2023, Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena
NOT_COMPARED = {
    "scale": "Leave it out.",
    "threshold": "Leave it out: k says how many rows are kept.",
    "descending": "Ask the other way round: 'Which is worse written? {text}'.",
    "schema": "Leave it out: the model says which of the texts comes first.",
    "parse": "Leave it out: the model says which of the texts comes first.",
    "free_text": "Leave it out: words that name one of the texts are read anyhow.",
    "keep": "Leave it out: df.why(row) tells what was asked.",
    "reasoning": "Leave it out: df.why(row) tells what the model thought.",
    "n": "Leave it out: each pair is asked once.",
}
RUBRIC = "https://arxiv.org/abs/2303.16634"  # Liu et al. 2023, G-Eval


V = TypeVar("V", bound="RateVerbs")  # Self, as jedi understands it too


class RateVerbs(AskVerbs):
    """rank_by, top_k_by, score."""

    __slots__ = ()

    def rank_by(
        self: V,
        llm: LLM | Model | str,
        prompt: str | Prompt,
        into: str = "score",
        *,
        descending: bool = True,
        threshold: float | None = None,
        scale: tuple[int, int] | None = None,
        parse: Callable[[str], float] | None = None,
        free_text: bool = False,
        name: str | None = None,
        **settings: Any,
    ) -> V:
        """Score every row by a model, and order the rows by their scores; equal scores keep their order, rows without a score come last.

        With `scale`, the lowest and the highest whole number, the model is held to it as in `score`: an answer outside it is shown its error once, then
        the row fails. Without, it is held to a number, as far as it can be, and a PlanWarning says that no scale is given. Of free text, from a model that
        cannot be held, the score is the first number, as DataDreamer read it: of "1. Tone is bad. Overall 8/10" that is 1; an answer without one is a
        failed row. `free_text=True` sends the prompt without a schema, as DataDreamer does, and reads the text so; `parse` reads free text otherwise;
        with a scale, what they give must be within it. `threshold` keeps the rows with a score of at least so much. Further settings as in `df.prompt`.

        Raises SettingError for what is not a scale, or a threshold that no score of it reaches.

        >>> llm = dr.testing.Scripted(["3", "9"])
        >>> dr.frame({"essay": ["On tea", "On rain"]}).rank_by(llm, "Rate from 1 to 10: {essay}", scale=(1, 10)).to_dicts()
        [{'essay': 'On rain', 'score': 9}, {'essay': 'On tea', 'score': 3}]
        """
        label = name or "rank_by"
        need_order("rank_by", llm, prompt)
        need_reading(free_text, parse, step=label)
        _need_number(threshold, step=label)
        if scale is not None:
            _, high = checked_scale(scale, step=label)
            if settings.get("schema") is not None:
                raise SettingError(f"{label}: scale= and schema= both say what a score may be; give one of them.")
            if threshold is not None and threshold > high:
                raise SettingError(f"{label}: threshold={threshold} keeps no row: no score of scale={scale!r} is as high.")
            read: dict[str, Any] = {"parse": FirstNumber(), "repairs": 0} if free_text and parse is None else {"parse": parse}
            fields = {**read, "name": label, **settings, "schema": points(scale, step=label)}
            scored = self.prompt(llm, prompt, into=into, **fields)._citing(JUDGING)
        else:
            fields = {"schema": float, "name": label, **settings}
            held = self._held(llm, prompt, into=into, to=fields["schema"], reader=FirstNumber(), parse=parse, free_text=free_text, **fields)
            scored = held._citing(JUDGING)
            if parse is None and "schema" not in settings:
                warn_of_no_scale(step=label)
        if threshold is not None:
            scored = scored._relational("filter", [pl.col(into) >= float(threshold)], named=label)
        return scored._relational("sort", [pl.col(into)], descending=descending, nulls_last=True, maintain_order=True, named=label)

    def top_k_by(
        self: V, llm: LLM | Model | str, prompt: str | Prompt, k: int, *, compare: bool = False, window: int | None = None, **settings: Any
    ) -> V:
        """Keep the k rows that the model scores highest, best first; settings as in `rank_by`.

        With `compare=True` nothing is scored: the model is asked which of two rows comes first, `"Which is better written? {text}"`, the question before
        the first column. About n + k log2 k questions find the best k of n in order, in rounds that are asked at once: rows are held against a pivot that
        is drawn by its rank in a sample, and what follows from known answers is not asked. `window` (3 to 50) rows are put in order by one question, which
        takes so many fewer. A pair is one question whichever row stands first, and what is shown first is drawn from the texts and `seed`, since judges
        prefer positions. Equal texts are tied, as are rows whose answers go in a circle: tied rows keep their order. `into` names a column for the rank,
        1 for the best; tied rows share that of the first of them. Each answer is kept: a row that changed asks its own comparisons alone, unless it was
        a pivot.

        A row whose comparison failed has no place. `on_error` decides: "raise", "null" (it comes after all that have one) or "drop". So do rows whose
        text is null. Takes `system`, `repairs`, `name` and the sampling arguments of `df.prompt`.

        >>> llm = dr.testing.Scripted(["3", "9", "5"])
        >>> dr.frame({"essay": ["tea", "rain", "wind"]}).top_k_by(llm, "Rate {essay}", 2, into="points", scale=(1, 10)).to_dicts()
        [{'essay': 'rain', 'points': 9}, {'essay': 'wind', 'points': 5}]
        >>> llm = dr.testing.Scripted(lambda asked: "Input A" if asked[9:12] > asked[23:26] else "Input B")
        >>> dr.frame({"word": ["tea", "ice", "fog"]}).top_k_by(llm, "Which sorts last? {word}", 2, compare=True, into="rank").to_dicts()
        [{'word': 'tea', 'rank': 1}, {'word': 'ice', 'rank': 2}]
        """
        need_order("top_k_by", llm, prompt, k)
        k = whole(k, "k", verb="top_k_by")
        label = settings.pop("name", None) or "top_k_by"
        if not isinstance(compare, bool):
            raise SettingError(f"{label}: compare={compare!r} is True or False.")
        if compare:
            return self._compared(llm, prompt, k, 2 if window is None else whole(window, "window", verb=label), label=label, **settings)
        if window is not None:
            raise SettingError(f"{label}: window={window!r} is how many rows are compared at once; it goes with compare=True.")
        return self.rank_by(llm, prompt, name=label, **settings)._relational("head", k, named=label)

    def _compared(
        self,
        llm: LLM | Model | str,
        prompt: str | Prompt,
        k: int,
        window: int,
        *,
        label: str,
        into: str | None = None,
        seed: int = 0,
        system: str | None = None,
        on_error: OnError = "raise",
        repairs: int = 1,
        **sampling: Any,
    ) -> Self:
        """The best k rows by comparisons. `seed` draws what is shown first, and is no sampling argument: each pair is asked once."""
        if k < 1:
            raise SettingError(f"{label}: k={k}; compare=True finds one row or more.")
        for name, instead in NOT_COMPARED.items():
            if name in sampling:
                raise SettingError(f"{label}: {name}= is for scores, and compare=True asks for none. {instead}")
        asked = Prompt.of(prompt, step=label)
        if not isinstance(asked, Template):
            raise SettingError(f"{label}: compare=True takes a template such as 'Which is better written? {{text}}', not {asked.summary}.")
        model = as_llm(llm, verb=label)
        warn_of_system(system, model, step=label, below=self.step)
        rank = hidden("rank", n=len(self.step.schema)) if into is None else into
        from dreamframe.plan.steps.comparison import Comparison  # scores need none of it

        made = Comparison(
            inputs=(self.step, *(e.step for e in model.edges())), llm=model, prompt=asked, k=k, into=rank, window=window, seed=seed, system=system,
            sampling=Sampling.of(step=label, **sampling), repairs=repairs, on_error=on_error, name=label,
        )  # fmt: skip
        ordered = self._over(made)._relational("sort", [pl.col(rank)], nulls_last=True, maintain_order=True, named=label)
        return ordered._relational("head", k, named=label)._dropping([rank] if into is None else [], named=label)

    def score(
        self: V,
        llm: LLM | Model | str,
        rubric: Mapping[str, str],
        column: str,
        *,
        scale: tuple[int, int] = (1, 5),
        into: str = "scores",
        prompt: str | Prompt | None = None,
        **settings: Any,
    ) -> V:
        """Score a text by several criteria: a struct with a whole number for each, within the scale.

        `rubric` says what each criterion means. The model is held to the scale; an answer outside it is shown its error once, then the row fails.
        `prompt` replaces the question, the shape of the answer stays. Further settings as in `df.prompt`.

        >>> llm = dr.testing.Scripted(['{"clarity": 4, "depth": 2}'])
        >>> rubric = {"clarity": "easy to follow", "depth": "goes beyond the obvious"}
        >>> dr.frame({"essay": ["On tea"]}).score(llm, rubric, "essay").to_dicts()
        [{'essay': 'On tea', 'scores': {'clarity': 4, 'depth': 2}}]
        """
        need_order("score", llm, rubric, column)
        need_column("score", column)
        low, high = checked_scale(scale, step="score")
        if not isinstance(rubric, Mapping) or not rubric:
            raise SettingError("score: rubric= is a dict of criteria and what they mean, e.g. {'clarity': 'easy to follow'}.")
        shape = {"type": "object", "properties": dict.fromkeys(rubric, points(scale, step="score")), "required": list(rubric), "additionalProperties": False}
        criteria = "\n".join(f"- {literal(name)}: {literal(meaning)}" for name, meaning in rubric.items())
        ask = f"Score the text by each criterion with a whole number from {low} (worst) to {high} (best).\n\n{criteria}\n\nText: {placeholder(column)}"
        label = settings.get("name") or "score"
        if prompt is not None:
            warn_of_unread(column, prompt, step=label)
        for criterion, meaning in rubric.items():
            warn_of_criterion(criterion, meaning, step=label)
        return self.prompt(llm, ask if prompt is None else prompt, into=into, schema=shape, **{"name": "score", **settings})._citing(JUDGING, RUBRIC)

    def _citing(self, *papers: str) -> Self:
        """The frame, its prompt with the papers that the verb goes back to."""
        assert isinstance(self.step, PromptStep)
        return self._over(replace(self.step, techniques=papers))


def _need_number(threshold: object, *, step: str) -> None:
    if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, numbers.Real)):
        raise SettingError(f"{step}: threshold={threshold!r} is not a number.")


def points(scale: tuple[int, int], *, step: str) -> dict[str, Any]:
    """The whole numbers of a scale as a JSON schema, which a server can hold a model to. Raises SettingError for what is not a scale."""
    low, high = checked_scale(scale, step=step)
    return {"type": "integer", "enum": list(range(low, high + 1))}


def checked_scale(scale: Any, *, step: str) -> tuple[int, int]:
    """The lowest and the highest number. Raises SettingError for anything else."""
    is_pair = isinstance(scale, (tuple, list)) and len(scale) == 2 and all(isinstance(v, numbers.Integral) and not isinstance(v, bool) for v in scale)
    if not is_pair or not scale[0] < scale[1] <= scale[0] + 100:
        raise SettingError(f"{step}: scale={scale!r}; give the lowest and the highest whole number, at most 100 apart, e.g. (1, 5).")
    return int(scale[0]), int(scale[1])
