"""One model through two clients (another key, another pace) in one run: an answer is paid once, whichever of them asks."""

from __future__ import annotations

import polars as pl

import dreamframe as dr
from tests.laws.cases import Ordinal


def test_what_one_client_is_asking_the_other_waits_for():
    one, other = Ordinal(temperature=0), Ordinal(temperature=0)
    assert one.pool_key() != other.pool_key()
    rows = dr.frame({"t": [f"tea {i}" for i in range(300)]})
    with dr.Session(None) as session:
        first, second = dr.collect_all([rows.prompt(one, "{t}"), rows.filter(pl.col("t").str.ends_with("7")).prompt(other, "{t}")])
        assert session.usage()["calls"] == 300
    assert second["answer"].to_list() == [f"tea {i} #0" for i in range(7, 300, 10)]
    assert first.height == 300


def test_what_one_client_is_refused_the_other_asks():
    one, other = Ordinal(temperature=0, refuses=lambda prompt: True), Ordinal(temperature=0)
    rows = dr.frame({"t": ["tea", "jam"]})
    with dr.Session(None):
        first, second = dr.collect_all([rows.prompt(one, "{t}", on_error="null"), rows.prompt(other, "{t}")])
    assert first["answer"].to_list() in ([None, None], ["tea #0", "jam #0"])
    assert second["answer"].to_list() == ["tea #0", "jam #0"]
