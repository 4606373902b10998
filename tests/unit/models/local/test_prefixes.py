"""What prompts share: how deep it pays to read it once, and which requests are worked on together."""

from __future__ import annotations

import random

import pytest

from dreamframe.models.local.prefixes import LEAST_SAVED, SAVED_SHARE, by_family, common, depth_to_share
from tests.micro import micro_causal

INSTRUCTIONS = list(range(100, 180))


def read(prompts: list[list[int]], depth: int) -> int:
    """Tokens that a model reads of a batch."""
    return len({tuple(p[:depth]) for p in prompts}) * depth + len(prompts) * (max(map(len, prompts)) - depth)


@pytest.mark.parametrize(("a", "b", "n"), [([1, 2, 3], [1, 2, 4], 2), ([1, 2], [1, 2, 3], 2), ([], [1], 0), ([5], [6], 0), ([7] * 9, [7] * 9, 9)])
def test_what_two_prompts_share_is_counted_from_the_first_token(a: list[int], b: list[int], n: int) -> None:
    assert common(a, b) == n


@pytest.mark.parametrize("seed", range(30))
def test_the_depth_is_the_best_of_all_or_none_where_little_is_saved(seed: int) -> None:
    draw = random.Random(seed)
    beginnings = [[draw.randrange(9) for _ in range(draw.randrange(5, 120))] for _ in range(draw.randrange(1, 4))]
    prompts = [draw.choice(beginnings) + [draw.randrange(9) for _ in range(draw.randrange(1, 30))] for _ in range(draw.randrange(1, 12))]
    best = min(read(prompts, depth) for depth in range(min(map(len, prompts))))
    whole, depth = read(prompts, 0), depth_to_share(prompts)
    if whole - best >= max(LEAST_SAVED, SAVED_SHARE * whole):
        assert read(prompts, depth) == best
        assert depth < min(map(len, prompts))
    else:
        assert depth == 0


def test_questions_about_one_document_stand_together_and_others_by_their_length() -> None:
    documents = [[d] * 40 for d in range(6)]
    asked = [documents[i % 6] + [100 + i] * (1 + i // 6) for i in range(18)]
    alone = [[200 + i] * n for i, n in enumerate((60, 10, 44))]
    random.Random(0).shuffle(asked)
    ordered = by_family([*asked, *alone], bytes, len)
    assert [p[0] for p in ordered if p[0] < 6] == sorted((p[0] for p in asked), key=[p[0] for p in ordered if p[0] < 6].index)
    assert [len(p) for p in ordered if p[0] >= 200] == [60, 44, 10]
    assert len({tuple(p[:40]) for p in ordered[2:5]}) == 1


def test_what_begins_with_the_same_instructions_alone_is_sorted_by_length() -> None:
    asked = [[*INSTRUCTIONS, *[i] * n] for i, n in enumerate((5, 300, 20, 160, 90))]
    assert [len(p) for p in by_family(asked, bytes, len)] == sorted(map(len, asked), reverse=True)
    assert by_family([3, 9, 1], lambda n: b"", lambda n: n) == [9, 3, 1]


@pytest.mark.slow  # torch is loaded
def test_a_model_that_a_gap_would_change_reads_each_prompt_whole() -> None:
    from transformers import AutoModelForCausalLM

    from dreamframe.models.local.decode_loop import _reads_by_position

    model = AutoModelForCausalLM.from_pretrained(micro_causal())
    assert _reads_by_position(model)
    model.config.layer_types = ["sliding_attention", "full_attention"]
    assert not _reads_by_position(model)
    model.config.layer_types, model.config.sliding_window = None, 16
    assert not _reads_by_position(model)
    model.config.sliding_window, model.config.rope_parameters = None, {"rope_type": "longrope", "rope_theta": 10000.0}
    assert not _reads_by_position(model)
