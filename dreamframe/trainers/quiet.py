"""A training that leaves its process as it found it."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import warnings
from collections.abc import Iterator

CHATTY = ("trl", "accelerate", "peft", "sentence_transformers", "setfit", "datasets", "bitsandbytes")  # loggers that speak of what is already decided here


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Leave the process as it was: random states, log levels. No telemetry goes out meanwhile."""
    import datasets
    import huggingface_hub.constants
    import numpy as np
    import torch
    import transformers

    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    level = transformers.logging.get_verbosity()
    noisy = {name: logging.getLogger(name).level for name in CHATTY}
    loading, mapping = transformers.logging.is_progress_bar_enabled(), not datasets.utils.are_progress_bars_disabled()
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # ORPO and CPO stand in trl.experimental
    telemetry = huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.utils.disable_progress_bars()
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)  # what these libraries tell each other
            yield
    finally:
        huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = telemetry
        transformers.logging.set_verbosity(level)
        for name, was in noisy.items():
            logging.getLogger(name).setLevel(was)
        if loading:
            transformers.logging.enable_progress_bar()
        if mapping:
            datasets.utils.enable_progress_bars()
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])
