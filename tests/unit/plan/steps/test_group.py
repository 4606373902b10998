"""df.dedup and df.cluster: what counts as the same, what is kept, and numbers that are the same every time."""

from __future__ import annotations

import random
from collections.abc import Callable

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.steps.minhash import ADD, MULTIPLY, band_keys, jaccard, near_earlier, shingles
from dreamframe.testing import WordEmbedder
from tests.models.sentences import DID, OTHERS, PAIRS, WHO

TEXTS = [a for a, _ in PAIRS] + list(OTHERS) + [f"{WHO[i % len(WHO)]} {did}." for i, did in enumerate(DID)]
RANDOM = random.Random(7)


def with_typo(text: str) -> str:
    """Two letters changed places, one is missing, doubled, or another."""
    at = RANDOM.choice([i for i in range(len(text) - 1) if text[i : i + 2].isalpha()])
    before, here, there = text[:at], text[at : at + 2], text[at + 2 :]
    return before + RANDOM.choice([here[::-1], here[1], here[0] + here, RANDOM.choice("aeinrst") + here[1]]) + there


def with_words_swapped(text: str) -> str:
    words = text.rstrip(".").split()
    at = RANDOM.randrange(len(words) - 1)
    words[at : at + 2] = reversed(words[at : at + 2])
    return " ".join(words) + "."


def with_words_shuffled(text: str) -> str:
    return " ".join(RANDOM.sample(text.rstrip(".").split(), len(text.split())))


@pytest.mark.parametrize("spoil", [with_typo, with_words_swapped, with_words_shuffled], ids=lambda f: f.__name__)
def test_minhash_finds_95_percent_of_planted_near_duplicates_and_at_most_1_percent_false_ones(spoil: Callable[[str], str], session: dr.Session):
    rows = dr.frame({"t": [*TEXTS, *map(spoil, TEXTS)], "i": range(2 * len(TEXTS))})
    kept = rows.dedup("t", method="minhash").collect()["i"]
    assert kept.is_sorted()
    found = len(TEXTS) - (kept >= len(TEXTS)).sum()
    false = len(TEXTS) - (kept < len(TEXTS)).sum()
    assert found >= 0.95 * len(TEXTS)
    assert false <= 0.01 * len(TEXTS)


def test_signatures_agree_as_often_as_shingles_do():
    a, b = {RANDOM.getrandbits(64) for _ in range(300)}, {RANDOM.getrandbits(64) for _ in range(100)}
    least = [[min((h * m + add) % 2**64 for h in side) for m, add in zip(MULTIPLY, ADD, strict=True)] for side in (a, a | b)]
    share = sum(x == y for x, y in zip(*least, strict=True)) / len(MULTIPLY)
    assert share == pytest.approx(jaccard(frozenset(a), frozenset(a | b)), abs=0.08)


def test_band_keys_are_arithmetic_modulo_two_to_the_64():
    """Pinned by a second way of computing them: polars' arithmetic wraps round, in this version and the next."""
    found = band_keys(["", "hot tea"], 3).filter(row=1)["key"].to_list()
    least = [min((h * m + add) % 2**64 for h in shingles("hot tea")) for m, add in zip(MULTIPLY, ADD, strict=True)]
    for band, key in enumerate(found):
        want = ADD[band]
        for one in least[3 * band : 3 * band + 3]:
            want = (want + one) * MULTIPLY[band] % 2**64
        assert key == want


def test_pairs_that_bands_bring_together_are_those_of_comparing_all():
    texts = [with_typo(t) for t in TEXTS[:60]] + TEXTS[:60]
    kept: list[int] = []
    want = []
    for i, text in enumerate(texts):
        want.append(any(jaccard(shingles(text), shingles(texts[j])) >= 0.5 for j in kept))
        kept += [] if want[-1] else [i]
    assert near_earlier(texts, 0.5) == want


def test_the_first_of_equal_values_is_kept_and_so_are_rows_without_one(session: dr.Session):
    df = dr.frame({"t": ["b", None, "a", "b", None], "i": range(5)})
    assert df.dedup("t").collect()["i"].to_list() == [0, 1, 2, 4]
    for method, by in (("minhash", None), ("embedding", WordEmbedder())):
        assert df.dedup("t", method=method, by=by).collect()["i"].to_list() == [0, 1, 2, 4]
        assert df.head(0).dedup("t", method=method, by=by).collect().height == 0


def test_a_chain_of_likenesses_does_not_drop_its_end(session: dr.Session):
    """The second is like the first and is dropped; the third is like the second only, and stays."""
    df = dr.frame({"t": ["a b c d", "a b c e", "a b f e"]})
    assert df.dedup("t", method="embedding", by=WordEmbedder(size=512), threshold=0.7).to_dicts() == [{"t": "a b c d"}, {"t": "a b f e"}]


def test_vectors_that_are_there_need_no_embedder(session: dr.Session):
    df = dr.frame({"v": [[1.0, 0.0], [9.0, 0.01], None, [0.0, 1.0]]}, schema={"v": pl.Array(pl.Float32, 2)})
    assert df.dedup("v", method="embedding", threshold=0.99).collect().height == 3
    assert df.cluster("v", k=2).collect()["cluster"].to_list() == [0, 1, None, 0]


def test_many_vectors_are_compared_block_by_block(session: dr.Session):
    angles = pl.Series([i % 1500 for i in range(4000)])
    points = pl.DataFrame({"x": (angles * 0.01).cos(), "y": (angles * 0.01).sin()}).head(600)
    df = dr.frame(pl.concat([points] * 4)).with_columns(v=pl.concat_list("x", "y").cast(pl.Array(pl.Float32, 2))).with_row_index("i")
    kept = df.dedup("v", method="embedding", threshold=0.99999).collect()["i"]
    assert kept.to_list() == list(range(600))


def test_clusters_are_numbered_by_their_first_rows_whatever_the_seed(session: dr.Session):
    texts = ["green tea leaf", "heavy rain cloud", "black tea leaf", "dark rain cloud", "slow old train", "green tea", None, "train slow"]
    for seed in range(5):
        found = dr.frame({"t": texts}).cluster("t", k=3, by=WordEmbedder(size=512), seed=seed).collect()
        assert found["cluster"].to_list() == [0, 1, 0, 1, 2, 0, None, 2]


def test_fewer_different_vectors_than_clusters_give_fewer_clusters(session: dr.Session):
    found = dr.frame({"t": ["a", "b", "a"]}).cluster("t", k=9, by=WordEmbedder()).collect()
    assert found["cluster"].to_list() == [0, 1, 0]
    assert dr.frame({"t": ["a"]}).head(0).cluster("t", k=2, by=WordEmbedder()).collect().schema["cluster"] == pl.UInt32


def test_the_column_of_vectors_is_gone_again(session: dr.Session):
    words, df = WordEmbedder(), dr.frame({"t": ["a"]})
    assert df.dedup("t", method="embedding", by=words).columns == ["t"]
    assert df.cluster("t", k=1, by=words, into="group").columns == ["t", "group"]


def test_wrong_plans_fail_where_they_are_written():
    df, words = dr.frame({"text": ["a"], "n": [1]}), WordEmbedder()
    for wrong, kind, says in (
        (lambda: df.dedup("txt"), dr.errors.ColumnNotFoundError, "dedup: no column 'txt'.*Did you mean 'text'"),
        (lambda: df.dedup("n", method="minhash"), dr.errors.SchemaError, "dedup: column 'n' has type Int64, and text is needed"),
        (lambda: df.dedup("text", method="mini"), dr.errors.SettingError, "method='mini' is not one of 'exact', 'minhash', 'embedding'"),
        (lambda: df.dedup("text", method="minhash", threshold=0), dr.errors.SettingError, "threshold=0 must be above 0"),
        (lambda: df.dedup("text", threshold=0.5), dr.errors.SettingError, "equal values have no degree"),
        (lambda: df.dedup("text", by=words), dr.errors.SettingError, "by= belongs to method='embedding'"),
        (lambda: df.dedup("text", method="embedding"), dr.errors.SchemaError, "Give by= to embed a text column"),
        (lambda: df.cluster("text", k=2), dr.errors.SchemaError, "cluster: column 'text' has type String, not vectors"),
        (lambda: df.cluster("text", k=0, by=words), dr.errors.SettingError, "cluster: k=0"),
        (lambda: df.cluster("text", k=2, by=words, into="n"), dr.errors.DuplicateColumnError, "cluster: column 'n' exists already"),
    ):
        with pytest.raises(kind, match=says):
            wrong()
