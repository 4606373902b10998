"""Which rules may change a plan. Apart from the rules, so that whoever only names the type need not import them."""

from __future__ import annotations

from collections.abc import Mapping

Optimize = bool | Mapping[str, bool]  # all rules or none; or those that are off, by name
