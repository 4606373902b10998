"""Advice of other libraries that reads like a failure and is none. Imported for what it does: it lets none of that be printed."""

from __future__ import annotations

import logging

OPTIONAL_KERNEL = "kernels-community"  # bitsandbytes advises to install a faster kernel for CPUs as soon as peft is imported, quantised or not


def is_wanted(record: logging.LogRecord) -> bool:
    """Whether a line of a log is anything but that advice."""
    return OPTIONAL_KERNEL not in str(record.msg)


logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(is_wanted)
