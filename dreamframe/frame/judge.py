"""Verbs that have a model judge pairs of texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, get_args

import polars as pl

from dreamframe.errors import SchemaError, SettingError, one_of
from dreamframe.frame.arguments import need_order
from dreamframe.frame.model import Model
from dreamframe.frame.plan_warnings import warn_of_one_text
from dreamframe.frame.rate import RateVerbs
from dreamframe.models.base import LLM
from dreamframe.models.habits import described
from dreamframe.plan.hidden import hidden
from dreamframe.plan.steps.judge import WINNER, Coin, Judge
from dreamframe.prompts.instruct import need_writable
from dreamframe.prompts.pair import Pair
from dreamframe.prompts.parsers import Winner

Swap = Literal["random", "both", "never"]
SWAPS = get_args(Swap)


V = TypeVar("V", bound="JudgeVerbs")  # Self, as jedi understands it too


class JudgeVerbs(RateVerbs):
    """judge, to_preferences, bradley_terry."""

    __slots__ = ()

    def judge(
        self: V,
        llm: LLM | Model | str,
        a: str,
        b: str,
        *,
        prompt: str | None = None,
        criteria: str | Sequence[str] | None = None,
        instruction: str | None = None,
        into: str = "winner",
        swap: Swap = "random",
        seed: int = 0,
        parse: Callable[[str], str] | None = None,
        free_text: bool = False,
        name: str | None = None,
        **settings: Any,
    ) -> V:
        """Have a model say which of two columns of texts is better: "a", "b" or "tie".

        `prompt` is a column of what both texts answer. `criteria` goes into the question, `instruction` replaces it. Judges prefer positions, so with
        `swap="random"` the order is drawn for each row (from `seed` and the row's texts alone) and mapped back; "both" asks each way round and calls a
        disagreement a tie; "never" shows a first. The model is held to the two names of the question ("Input A", "Input B"; with `instruction` also
        "tie"), as far as it can be; free text, of a model that cannot, which names neither text or both is a failed row. `free_text=True` sends the
        question without a schema, as DataDreamer does. `parse` reads free text otherwise: it gives "a" for the text that was shown first, "b" for the
        other, or "tie". With `keep` (see `df.prompt`) and "both", the columns of the second question are `<into>_swapped_prompt` and
        `<into>_swapped_answer`, as those of `reasoning="thoughts"` are in `thoughts_swapped`. Further settings as in `df.prompt`.

        Raises ColumnNotFoundError or SettingError when the plan is built; RowsFailedError when it runs.

        >>> llm = dr.testing.Scripted(lambda asked: "Input A" if asked.index("rain") < asked.index("tea") else "Input B")
        >>> dr.frame({"x": ["tea"], "y": ["rain"]}).judge(llm, a="x", b="y").to_dicts()
        [{'x': 'tea', 'y': 'rain', 'winner': 'b'}]
        """
        label = name or "judge"
        need_order("judge", llm, a, b)
        one_of(swap, SWAPS, "swap", where=label)
        if swap == "both" and settings.get("probability") is not None:
            raise SettingError(f"{label}: swap='both' has two verdicts, and probability= is that of one; give swap='random'.")
        if criteria is not None and instruction is not None:
            raise SettingError(f"{label}: criteria= go into the usual question and instruction= replaces it; give one of them.")
        asked = Pair(a, b, prompt, criteria=criteria if criteria is None or isinstance(criteria, str) else " and ".join(criteria), instruction=instruction)
        asked.check(self.step.schema, step=label)
        warn_of_one_text(a, b, step=label)
        first, second, coin = (hidden(what, n=len(self.step.schema)) for what in ("verdict", "other_verdict", "swapped"))
        fields = {"schema": WINNER, "name": label, **settings, "to": asked.verdicts, "reader": Winner(), "parse": parse, "free_text": free_text}
        frame = self
        if swap == "random":
            frame = self._over(Coin(inputs=(self.step,), columns=asked.columns, into=coin, seed=seed, name=label))
            asked = asked.with_order(swapped=coin)
        frame = frame._held(llm, asked, into=first, called=into, **fields)
        if swap == "both":
            fields |= {"reasoning": f"{thoughts}_swapped"} if isinstance(thoughts := settings.get("reasoning"), str) else {}
            frame = frame._held(llm, asked.with_order(always_swapped=True), into=second, called=f"{into}_swapped", **fields)
        return frame._over(
            Judge(
                inputs=(frame.step,), a=a, b=b, prompt=prompt, into=into, name=name,
                first=first, second=second if swap == "both" else None, swapped=coin if swap == "random" else None,
            )
        )  # fmt: skip

    def to_preferences(self: V, *, winner: str | None = None, a: str | None = None, b: str | None = None, prompt: str | None = None) -> V:
        """Make preference pairs of judged rows, for training: `prompt` (if there is one), `chosen`, `rejected`. Ties and rows without a winner are dropped.

        Columns that are not given are those of the last `judge` of the plan.

        >>> llm = dr.testing.Scripted(["Response A", "Response B"])
        >>> df = dr.frame({"q": ["2+2?", "3+3?"], "x": ["4", "7"], "y": ["5", "6"]})
        >>> df.judge(llm, prompt="q", a="x", b="y", swap="never").to_preferences().to_dicts()
        [{'prompt': '2+2?', 'chosen': '4', 'rejected': '5'}, {'prompt': '3+3?', 'chosen': '6', 'rejected': '7'}]
        """
        judged = next((s for s in reversed(self.step.walk()) if isinstance(s, Judge)), None)
        if judged is not None:
            winner, a, b, prompt = winner or judged.into, a or judged.a, b or judged.b, prompt or judged.prompt
        if winner is None or a is None or b is None:
            raise SettingError("to_preferences: no judge stands in the plan; call df.judge(...) first, or say winner=, a= and b=.")
        for column in (winner, a, b, *([prompt] if prompt else [])):
            need_writable(column, self.step.schema, step="to_preferences")
        if self.step.schema[a] != self.step.schema[b]:
            raise SchemaError(f"to_preferences: {a!r} is {self.step.schema[a]} and {b!r} is {self.step.schema[b]}; cast one of them.")
        won = pl.col(winner).cast(pl.String)
        pairs = [pl.when(won == x).then(pl.col(a)).otherwise(pl.col(b)).alias(n) for n, x in (("chosen", "a"), ("rejected", "b"))]
        decided = self._relational("filter", [won.is_in(["a", "b"])], named="to_preferences")
        return decided._relational("select", [*([pl.col(prompt).alias("prompt")] if prompt else []), *pairs], named="to_preferences")

    def bradley_terry(
        self: V,
        a: str,
        b: str,
        winner: str = "winner",
        *,
        prior: float = 0.5,
        confidence: float = 0.95,
        draws: int = 1_000,
        seed: int = 0,
        name: str | None = None,
    ) -> V:
        """Make one row of each item that was compared, the strongest first: its strength by the model of Bradley and Terry, on the scale of Elo.

        Columns `a` and `b` name what was compared (models, prompts, texts), `winner` who won: "a", "b" or "tie", as `judge` has it; the name of the
        winner's column; or the winner itself. A tie is half a win for each. Rows with a null, and an item against itself, say nothing and are left out.
        Gives `item`, `elo` (1000 is the mean, and 400 points are odds of ten to one), `elo_low` and `elo_high` (of what `draws` resamples of the rows
        give, the middle `confidence`: 0.95 of them), `wins`, `losses` and `ties`. Each item also has `prior` wins and losses against a middling one, so that
        who never lost, or never met the others, has a strength too.

        Raises SettingError where `prior=0` leaves one without, and when it runs SchemaError for a winner that is none of these.

        >>> games = {"x": ["large", "large", "small", "large"], "y": ["small", "small", "large", "tiny"], "winner": ["a", "tie", "b", "a"]}
        >>> dr.frame(games).bradley_terry("x", "y").select("item", pl.col("elo").round(), "wins", "losses", "ties").to_dicts()[0]
        {'item': 'large', 'elo': 1180.0, 'wins': 3, 'losses': 0, 'ties': 1}
        """
        for what, value in (("a", a), ("b", b), ("winner", winner)):
            if not isinstance(value, str):
                raise SettingError(f"{name or 'bradley_terry'}: {what}= is {described(value)}; give the name of a column.")
        wins = float(prior) if type(prior) is int else prior
        from dreamframe.plan.steps.strengths import Strengths  # judging needs none of it

        return self._over(Strengths(inputs=(self.step,), a=a, b=b, winner=winner, prior=wins, confidence=confidence, draws=draws, seed=seed, name=name))
