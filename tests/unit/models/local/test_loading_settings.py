"""How weights are loaded: dtypes, quantizations and arguments as transformers' users have them."""

from __future__ import annotations

from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from tests.asking import ask_all, texts
from tests.micro import micro_causal


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"load": {"rope_scaling": 2}}, r"load=\{'rope_scaling': …\} is not taken; load= says where and how fast"),
        ({"load": {"torch_dtype": "auto"}}, r"load=\{'torch_dtype': …\} is a setting of its own"),
        ({"load": {"attn_implementation": "somebody/kernels"}}, "give one of eager, sdpa"),
        ({"load": "eager"}, "is not a dict"),
        ({"load": {"max_memory": {0: "1GiB"}}, "device": "cuda:0"}, "both say where the weights go"),
        ({"quantization": {"bits": 4}}, "nor a configuration such as transformers.BitsAndBytesConfig"),
        ({"dtype": 16}, "dtype=16 is not one of"),
    ],
    ids=lambda v: str(v) if isinstance(v, dict) else "",
)
def test_what_cannot_be_loaded_so_is_refused_where_it_is_written(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        dr.Transformers("some/model", **settings)


@pytest.mark.slow
def test_the_librarys_own_values_are_taken() -> None:
    import torch
    from transformers import BitsAndBytesConfig

    pytest.importorskip("bitsandbytes")

    assert dr.Transformers("some/model", dtype=torch.bfloat16) == dr.Transformers("some/model", dtype="bfloat16")
    assert dr.SentenceTransformer("some/model", dtype=torch.float32) == dr.SentenceTransformer("some/model", dtype="float32")
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="fp4", bnb_4bit_compute_dtype=torch.float32)
    fp4, nf4 = (dr.Transformers(micro_causal(width=64), temperature=0, max_tokens=6, threads=1, quantization=q) for q in (config, "4bit"))
    assert hash(fp4) == hash(dr.Transformers(micro_causal(width=64), temperature=0, max_tokens=6, threads=1, quantization=config))
    assert fp4.identity_fields() != nf4.identity_fields()
    assert len(texts(ask_all(fp4, ["tea"]))) == 1


@pytest.mark.slow
def test_how_weights_are_loaded_is_no_part_of_what_is_asked() -> None:
    plain = dr.Transformers(micro_causal(), temperature=0, max_tokens=6, threads=1)
    eager = dr.Transformers(micro_causal(), temperature=0, max_tokens=6, threads=1, dtype="auto", load={"attn_implementation": "eager"})
    assert {k: v for k, v in plain.identity_fields().items() if k != "dtype"} == {k: v for k, v in eager.identity_fields().items() if k != "dtype"}
    assert plain.pool_key() != eager.pool_key()
    assert texts(ask_all(plain, ["tea"])) == texts(ask_all(eager, ["tea"]))
    assert "flex" not in str(eager.load)
