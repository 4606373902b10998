"""Advice of other libraries that looks like a failure is not printed, and everything else is."""

from __future__ import annotations

import logging

import dreamframe as dr

ADVICE = "Failed to load CPU gemm_4bit_forward from kernels-community: %s. Please make sure you already `pip install kernels` and the kernels >= 0.11.1"


def test_an_optional_kernel_is_no_failure(caplog) -> None:
    assert dr.__name__ == "dreamframe"
    log = logging.getLogger("bitsandbytes.backends.cpu.ops")
    log.warning(ADVICE, "No module named 'kernels'")
    log.warning("something else")
    assert [r.message for r in caplog.records] == ["something else"]
