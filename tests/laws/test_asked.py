"""Laws of joins that are asked otherwise: columns, types and order are those of the join that asks pair by pair, and with an honest model so are the rows."""

from __future__ import annotations

import json
import re
import warnings
import zlib

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import dreamframe as dr

WORDS = st.sampled_from(["tea", "jam", "rye bread", "oat", "", "a\nb", "{x}"])
TEXTS = st.lists(st.none() | WORDS, max_size=8)
KIND = dr.Attribute("length", ["short", "long"], pl.col("left") == pl.col("right"))


def length(text: str) -> str:
    return "short" if len(text) < 4 else "long"


def answer(asked: str, *, noise: int = 0) -> str:
    """Whether two texts are of one length, however that is asked. Of `noise` in a hundred lists and labels nothing is right."""
    lies = zlib.crc32(asked.encode()) % 100 < noise
    if found := re.fullmatch(r"What is the length\?[^\n]*\n\nText: (.*)", asked, re.DOTALL):
        return json.dumps({"answer": "short" if lies else length(found[1])})
    left, rest = re.match(r"<(.*?)> and <(.*)", asked, re.DOTALL).groups()  # type: ignore[union-attr]
    if "For which of them" in asked:
        offered = json.loads("[" + ",".join(line[2:] if line[2:3] == '"' else json.dumps(line[2:]) for line in rest.splitlines() if line[:2] == "- ") + "]")
        return json.dumps({"answer": [v for v in offered if (length(v) == length(left)) != lies]})
    return "yes" if length(left) == length(rest.removesuffix(">")) else "no"


def noisy(asked: str) -> str:
    return answer(asked, noise=40)


@settings(max_examples=25, deadline=None)
@given(left=TEXTS, right=TEXTS, way=st.sampled_from(["labels", KIND]), optimize=st.booleans(), greedy=st.booleans())
def test_a_join_asked_otherwise_is_the_join(left: list[str | None], right: list[str | None], way: object, optimize: bool, greedy: bool):
    schema = {"n": pl.Int64, "t": pl.String}
    one, other = (dr.frame(pl.DataFrame({"n": range(len(side)), "t": side}, schema=schema)) for side in (left, right))
    temperature = 0 if greedy else None
    honest, lying = dr.testing.Scripted(answer, temperature=temperature), dr.testing.Scripted(noisy, temperature=temperature)
    with dr.Session(None), warnings.catch_warnings():
        warnings.simplefilter("ignore", dr.RunWarning)
        pairs = one.join_by(other, honest, "<{t}> and <{t_right}>")
        otherwise = one.join_by(other, honest, "<{t}> and <{t_right}>", asked=way, check=10)  # type: ignore[arg-type]
        assert otherwise.schema == pairs.schema
        assert otherwise.collect(optimize=optimize).equals(pairs.collect())
        made = one.join_by(other, lying, "<{t}> and <{t_right}>", asked=way, check=10).collect(optimize=optimize)  # type: ignore[arg-type]
        assert made.schema == pairs.schema
        assert made.select("n", "n_right").rows() == sorted(set(made.select("n", "n_right").rows()))
