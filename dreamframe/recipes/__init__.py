"""Published ways of making data, each a function from frames to a frame, built from the verbs alone: read them to write your own."""

from dreamframe.frame.tracebacks import short
from dreamframe.recipes.backtranslate import backtranslate as backtranslate
from dreamframe.recipes.decompose import decompose as decompose
from dreamframe.recipes.evolve import evolve as evolve
from dreamframe.recipes.self_instruct import self_instruct as self_instruct

__all__ = ["backtranslate", "decompose", "evolve", "self_instruct"]
globals().update({name: short(globals()[name]) for name in __all__})
