"""The search for better prompts: gepa's loop over trials. gepa is imported when a search begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from dreamframe.errors import BudgetExceededError, MissingExtraError
from dreamframe.frame.tuning.rules import AGAIN
from dreamframe.frame.tuning.tried import REFUSED, Texts, Tried

MOST_IDLE = 100  # rounds one after the other in which nothing is asked: the rows that were drawn are right
MOST_FRUITLESS = 30  # rounds in which something is asked, and no prompt is found that is better on the rows that were drawn
ATTEMPTS = 2  # proposals that a reflecting model may make in one round


class Outcome(NamedTuple):
    """Of one row with one candidate."""

    score: float
    examples: Mapping[str, Mapping[str, Any]]  # name of a step → what the reflecting model is shown of it
    answers: Mapping[str, str]  # name of a step → what the model answered


class Trials(Protocol):
    """What a search may do. Both count towards the limits, and raise BudgetExceededError where these would be passed."""

    @property
    def n_asked(self) -> int:
        """Requests so far."""
        ...

    @property
    def cost(self) -> float | None:
        """US dollars so far; None where a price is not known."""
        ...

    def outcomes(self, texts: Texts, rows: Sequence[int]) -> list[Outcome]:
        """What becomes of rows with these prompts."""
        ...

    def reflect(self, request: str) -> str:
        """What the reflecting model answers."""
        ...


class _Stop(BaseException):
    """Leaves gepa, which goes on after every other exception."""

    def __init__(self, why: Exception) -> None:
        super().__init__(why)
        self.why = why


class Search:
    """One search: gepa's adapter, and what was tried."""

    def __init__(
        self, trials: Trials, texts: Texts, rows: Sequence[int], *, requests: Mapping[str, str], flaw: Callable[[str, str, str], str | None], seed: int
    ) -> None:
        """`requests`: name of a step → what the reflecting model is asked; `flaw` says of a step, a new text and the one before what is wrong with it."""
        self._trials, self._requests, self._flaw, self._seed = trials, requests, flaw, seed
        self._rows = list(rows)
        self._scores: dict[tuple[str, ...], dict[int, float]] = {}
        self._idle, self._fruitless, self._before = 0, 0, (0, 0)
        self._counted = 0, 0.0  # requests and US dollars that are on a candidate's account
        self.tried = [Tried(texts, None, "as it was")]
        self.ended = ""  # why

    def run(self) -> None:
        """Search until nothing is to be gained, or the limits are reached. Raises what stops every run: a key that is refused, a metric that raises."""
        try:
            from gepa.api import optimize
        except ImportError as exc:
            raise MissingExtraError("gepa", extra="tune", needed_for="df.tune") from exc
        try:
            self._scored(self.tried[0].texts, self._rows)
            first = self._scores[_key(self.tried[0].texts)].values()
            has_best = all(0 <= score <= 1 for score in first)  # else nobody knows what the best score is
            optimize(
                seed_candidate=dict(self.tried[0].texts),
                trainset=self._rows,
                valset=self._rows,
                adapter=self,  # type: ignore[arg-type]
                stop_callbacks=[lambda state: self._is_over(has_best=has_best)],  # noqa: ARG005
                skip_perfect_score=has_best,
                perfect_score=1.0 if has_best else float("inf"),
                logger=_Silent(),
                seed=self._seed,
            )
        except _Stop as stop:
            if not isinstance(stop.why, BudgetExceededError) or self.score(self.tried[0]) is None:
                raise stop.why from stop.why.__cause__
            self.ended = str(stop.why)
        for one in self.tried[1:]:
            one.note = one.note or self._became(one)

    def _became(self, one: Tried) -> str:
        """How far a candidate came."""
        known = self._scores.get(_key(one.texts), {})
        if len(known) in (0, len(self._rows)):
            return "scored on all rows" if known else "not tried: the search was over"
        before = self._scores[_key(self.tried[one.parent or 0].texts)]
        is_better = sum(known.values()) > sum(before[at] for at in known)
        return f"better on {len(known)} rows; the search was over before it was scored on all" if is_better else f"not better on {len(known)} rows"

    def score(self, one: Tried) -> float | None:
        """The mean score of a candidate over the rows; None for one that was not tried on all of them."""
        known = {} if one.is_refused else self._scores.get(_key(one.texts), {})
        return sum(known.values()) / len(self._rows) if len(known) == len(self._rows) else None

    def best(self) -> Tried:
        """The candidate with the highest score; of several, the one with the shortest prompts, and of these the first."""
        return min((one for one in self.tried if self.score(one) is not None), key=lambda one: (-(self.score(one) or 0.0), sum(map(len, one.texts.values()))))

    def _is_over(self, *, has_best: bool) -> bool:
        now = self._trials.n_asked, len([one for one in self.tried if self.score(one) is not None])
        has_asked, is_better = now[0] != self._before[0], now[1] != self._before[1]
        self._idle = 0 if has_asked else self._idle + 1
        self._fruitless = 0 if is_better else self._fruitless + has_asked
        self._before = now
        if has_best and (self.score(self.best()) or 0.0) >= 1:
            self.ended = "every row is right"
        elif self._idle > MOST_IDLE or self._fruitless > MOST_FRUITLESS:
            self.ended = "further rounds brought nothing better"
        return bool(self.ended)

    def _scored(self, texts: Texts, rows: Sequence[int]) -> list[Outcome]:
        try:
            found = self._trials.outcomes(texts, rows)
        except Exception as exc:
            raise _Stop(exc) from exc
        self._scores.setdefault(_key(texts), {}).update((at, one.score) for at, one in zip(rows, found, strict=True))
        self.charge(self.tried[self._number(texts)])
        return found

    def charge(self, one: Tried) -> None:
        """What was asked since the last time is on the account of a candidate."""
        n, cost = self._trials.n_asked, self._trials.cost
        spent = float("nan") if cost is None else cost
        one.calls += n - self._counted[0]
        one.cost += spent - self._counted[1]
        self._counted = n, spent

    # gepa's adapter

    def evaluate(self, batch: list[int], candidate: dict[str, str], capture_traces: bool = False) -> Any:  # noqa: ARG002  gepa's own
        """The scores of some rows."""
        from gepa.core.adapter import EvaluationBatch

        found = self._scored(candidate, batch)
        return EvaluationBatch(outputs=[dict(one.answers) for one in found], scores=[one.score for one in found], trajectories=list(found))

    def make_reflective_dataset(self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]) -> dict[str, list[Any]]:  # noqa: ARG002
        """What the reflecting model is shown of each step."""
        return {name: [one.examples[name] for one in eval_batch.trajectories] for name in components_to_update}

    def propose_new_texts(self, candidate: dict[str, str], reflective_dataset: Mapping[str, Sequence[Any]], components_to_update: list[str]) -> dict[str, str]:
        """New texts of some steps that follow the rules; none where the reflecting model gives none. What it gave is noted."""
        try:
            made = {name: text for name in components_to_update if (text := self._proposed(name, candidate, reflective_dataset[name])) is not None}
        except Exception as exc:
            raise _Stop(exc) from exc
        texts = {**candidate, **made}
        if all(one.is_refused or _key(texts) != _key(one.texts) for one in self.tried):
            self._add(Tried(texts, self._number(candidate), ""))
        return made

    def _add(self, one: Tried) -> None:
        self.tried.append(one)
        self.charge(one)

    def _proposed(self, name: str, candidate: dict[str, str], examples: Sequence[Any]) -> str | None:
        from gepa.strategies.instruction_proposal import InstructionProposalSignature as Asking

        given = {"current_instruction_doc": candidate[name], "dataset_with_feedback": list(examples), "prompt_template": self._requests[name]}
        asked = str(Asking.prompt_renderer(given))
        request = asked
        for _ in range(ATTEMPTS):
            text = str(Asking.output_extractor(self._trials.reflect(request).strip())["new_instruction"])
            if (wrong := self._flaw(name, text, candidate[name])) is None:
                return text
            self._add(Tried({**candidate, name: text}, self._number(candidate), f"{REFUSED}{wrong}"))
            request = asked + AGAIN.format(text=text, flaw=wrong)
        return None

    def _number(self, candidate: Texts) -> int:
        return next(i for i, one in enumerate(self.tried) if not one.is_refused and _key(one.texts) == _key(candidate))


def _key(texts: Texts) -> tuple[str, ...]:
    return tuple(texts[name] for name in sorted(texts))


class _Silent:
    """gepa's words go nowhere: the frame of candidates has it all."""

    def log(self, message: str) -> None:
        """Nothing."""
