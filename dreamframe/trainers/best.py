"""Which weights a training with validation rows keeps: those of its best evaluation, unless args= says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dreamframe.errors import SettingError

LOADS = "load_best_model_at_end"


ONLY_WITH = {  # settings that do nothing without validation rows: what each of them would do
    "early_stopping": "watches the validation loss", "eval_every": "says how often it validates", "compute_metrics": "looks at each validation",
}  # fmt: skip


def check_best(settings: Any, args: Mapping[str, Any], *, has_validation: bool) -> None:
    """Refuse what would do nothing without validation rows, and what contradicts itself in args=. Raises SettingError."""
    who, stops_early = settings.label, settings.early_stopping is not None
    for name, does in ONLY_WITH.items():
        if getattr(settings, name) is not None and not has_validation:
            raise SettingError(f"{who}: {name}= {does}; give train(validation=…) a frame.")
    if args.get(LOADS) and not has_validation:
        raise SettingError(f"{who}: args={{{LOADS!r}: True}} compares validations; give train(validation=…) a frame.")
    if str(args.get("eval_strategy", "no")) != "no" and not has_validation:
        raise SettingError(f"{who}: args={{'eval_strategy': {args['eval_strategy']!r}}} says how often it validates; give train(validation=…) a frame.")
    if stops_early and (args.get(LOADS) is False or str(args.get("eval_strategy", "")) == "no"):
        raise SettingError(f"{who}: early_stopping= keeps the best weights of all validations, and args= says that there are none; leave out one of them.")


def keeping_best(when: Mapping[str, Any], given: Mapping[str, Any], best: tuple[str, bool]) -> dict[str, Any]:
    """Further arguments of the library's config: a checkpoint at every evaluation, and the best one brought back at the end.

    `when`: how often it evaluates by our settings; `given`: args=, which come after them.

    >>> keeping_best({"eval_strategy": "epoch"}, {LOADS: False}, ("eval_loss", False))
    {}
    >>> keeping_best({"eval_strategy": "epoch"}, {}, ("eval_loss", False))["save_strategy"]
    'epoch'
    """
    whole = {**when, **given}
    evaluates = str(whole.get("eval_strategy"))
    if given.get(LOADS) is False or evaluates == "no":
        return {}
    saves = str(given.get("save_strategy", evaluates))
    if saves not in (evaluates, "best") and not given.get(LOADS):  # what was asked for is kept as it was asked for
        return {}
    made: dict[str, Any] = {"save_strategy": evaluates, LOADS: True}
    if evaluates == "steps" and "eval_steps" in whole:
        made["save_steps"] = whole["eval_steps"]
    if "metric_for_best_model" not in given:
        made |= {"metric_for_best_model": best[0], "greater_is_better": best[1]}
    return made
