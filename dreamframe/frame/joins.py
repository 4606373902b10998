"""Verbs over two frames, as polars has them; row order is always defined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, Self, TypeVar, get_args

from dreamframe.errors import SettingError, one_of
from dreamframe.frame.base import Verbs
from dreamframe.frame.relational import RelationalVerbs
from dreamframe.identity.owned import own
from dreamframe.models.habits import described
from dreamframe.plan.model_columns import into_exprs
from dreamframe.plan.steps.algebra import JOIN_ORDER, relational

JoinHow = Literal["inner", "left", "right", "full", "semi", "anti", "cross"]
JoinValidate = Literal["m:m", "m:1", "1:m", "1:1"]
JOINS, VALIDATE = get_args(JoinHow), get_args(JoinValidate)
ORDERS: Mapping[str, str] = {"left": "left_right", "right": "right_left", "left_right": "left_right", "right_left": "right_left"}  # asked → kept


V = TypeVar("V", bound="JoinVerbs")  # Self, as jedi understands it too


class JoinVerbs(RelationalVerbs):
    """join, join_asof, join_where, merge_sorted, update."""

    __slots__ = ()

    def join(
        self: V,
        other: Verbs,
        on: Any = None,
        how: JoinHow = "inner",
        *,
        left_on: Any = None,
        right_on: Any = None,
        suffix: str = "_right",
        validate: JoinValidate = "m:m",
        nulls_equal: bool = False,
        coalesce: bool | None = None,
        maintain_order: str | None = None,
    ) -> V:
        """Combine two frames as polars does. Rows keep the left order, then the right (for how="right": the right, then the left).

        `maintain_order="right"` (or "right_left") asks for the right order first.

        >>> a, b = dr.frame({"k": [2, 1]}), dr.frame({"k": [1, 2], "v": ["x", "y"]})
        >>> a.join(b, on="k").to_dicts()
        [{'k': 2, 'v': 'y'}, {'k': 1, 'v': 'x'}]
        """
        one_of(how, JOINS, "how", where="join")
        one_of(validate, VALIDATE, "validate", where="join")
        if on is None and left_on is None and right_on is None and how != "cross":
            raise SettingError("join: name the columns that both frames have in common: on='key', or left_on= and right_on=; all with all: how='cross'.")
        if how == "cross" and not on is left_on is right_on is None:
            raise SettingError("join: how='cross' joins every row with every row, and takes no on=; leave it out, or choose another how=.")
        given = {"on": on, "left_on": left_on, "right_on": right_on, "coalesce": coalesce}
        options = {k: v for k, v in given.items() if v is not None} | {"how": how, "suffix": suffix, "validate": validate, "nulls_equal": nulls_equal}
        if maintain_order not in (None, "none") and how not in ("semi", "anti"):
            if maintain_order not in ORDERS:
                raise SettingError(f"join: maintain_order={maintain_order!r} is not one of 'none', {', '.join(map(repr, ORDERS))}.")
            options["maintain_order"] = ORDERS[maintain_order]
        return self._joined(other, options)

    def _joined(self, other: Verbs, options: Mapping[str, Any], *, named: str | None = None) -> Self:
        """The join with these of polars' options, for a verb of that name."""
        return self._with("join", other, {"maintain_order": JOIN_ORDER.get(options["how"], "left_right"), **options}, named=named)

    def _with(self, verb: str, other: Verbs, options: Mapping[str, Any], *args: Any, named: str | None = None) -> Self:
        """The frame that a polars verb gives over this one and another."""
        if not isinstance(other, Verbs):
            raise SettingError(f"{named or verb}: the other side is {described(other)}; make it a frame first with dr.frame(...).")
        given = {k: v for k, v in options.items() if v is not None}
        return self._over(relational(verb, inputs=(self.step, other.step), args=own(args), options=own(tuple(sorted(given.items()))), name=named))

    def join_asof(
        self: V,
        other: Verbs,
        *,
        on: Any = None,
        left_on: Any = None,
        right_on: Any = None,
        by: str | Sequence[str] | None = None,
        by_left: str | Sequence[str] | None = None,
        by_right: str | Sequence[str] | None = None,
        strategy: str = "backward",
        suffix: str = "_right",
        tolerance: str | int | float | timedelta | None = None,
        coalesce: bool = True,
        allow_exact_matches: bool = True,
        check_sortedness: bool = True,
    ) -> V:
        """Put beside each row the nearest one of another frame, as polars does: the last that is not greater ("backward"), the first that is not less
        ("forward"), or the "nearest". Both frames are sorted by what they are joined on.

        >>> rates = dr.frame({"day": [1, 5], "rate": [1.1, 1.2]})
        >>> dr.frame({"day": [2, 6]}).join_asof(rates, on="day").to_dicts()
        [{'day': 2, 'rate': 1.1}, {'day': 6, 'rate': 1.2}]
        """
        options = {
            "on": on, "left_on": left_on, "right_on": right_on, "by": by, "by_left": by_left, "by_right": by_right, "strategy": strategy, "suffix": suffix,
            "tolerance": tolerance, "coalesce": coalesce, "allow_exact_matches": allow_exact_matches, "check_sortedness": check_sortedness,
        }  # fmt: skip
        return self._with("join_asof", other, options)

    def join_where(self: V, other: Verbs, *predicates: Any, suffix: str = "_right") -> V:
        """Combine the pairs of rows for which all predicates are true: every row of this frame with every one of the other, left order first.

        >>> a, b = dr.frame({"x": [1, 3]}), dr.frame({"y": [2, 4]})
        >>> a.join_where(b, pl.col("x") < pl.col("y")).to_dicts()
        [{'x': 1, 'y': 2}, {'x': 1, 'y': 4}, {'x': 3, 'y': 4}]
        """
        if not predicates:
            raise SettingError("join_where: give at least one predicate; every pair of rows is join(how='cross').")
        kept = into_exprs(predicates, {}, verb="join_where")
        return self._joined(other, {"how": "cross", "suffix": suffix}, named="join_where")._kept(kept, named="join_where")

    def merge_sorted(self: V, other: Verbs, key: str) -> V:
        """Put two frames of equal columns, each sorted by `key`, together into one that is; of equal rows those of this frame come first.

        >>> dr.frame({"a": [1, 4]}).merge_sorted(dr.frame({"a": [2, 5]}), "a").to_dicts()
        [{'a': 1}, {'a': 2}, {'a': 4}, {'a': 5}]
        """
        return self._with("merge_sorted", other, {"maintain_order": True}, key)

    def update(
        self: V,
        other: Verbs,
        on: str | Sequence[str] | None = None,
        how: str = "left",
        *,
        left_on: str | Sequence[str] | None = None,
        right_on: str | Sequence[str] | None = None,
        include_nulls: bool = False,
    ) -> V:
        """Replace values by those that another frame has for the same key (or the same place, without `on`), where they are not null.

        >>> dr.frame({"k": [1, 2], "v": ["a", "b"]}).update(dr.frame({"k": [2], "v": ["c"]}), on="k").to_dicts()
        [{'k': 1, 'v': 'a'}, {'k': 2, 'v': 'c'}]
        """
        options = {"on": on, "how": how, "left_on": left_on, "right_on": right_on, "include_nulls": include_nulls}
        return self._with("update", other, options | {"maintain_order": "left_right" if how == "full" else "left"})
