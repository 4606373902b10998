"""dreamframe: a lazy, immutable dataframe whose columns may be written by language models, and whose last verb may train one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dreamframe import errors as errors
from dreamframe import testing as testing
from dreamframe.frame import Frame as Frame
from dreamframe.frame import concat as concat
from dreamframe.frame import frame as frame
from dreamframe.frame import generate as generate
from dreamframe.frame import grid as grid
from dreamframe.frame import register_accessors as _register_accessors
from dreamframe.frame import scan_csv as scan_csv
from dreamframe.frame import scan_ipc as scan_ipc
from dreamframe.frame import scan_json as scan_json
from dreamframe.frame import scan_ndjson as scan_ndjson
from dreamframe.frame import scan_parquet as scan_parquet
from dreamframe.frame import scan_text as scan_text
from dreamframe.model import Model as Model
from dreamframe.session import Session as Session
from dreamframe.verbs.ask import prompt as prompt
from dreamframe.verbs.output import collect_all as collect_all

__version__ = "0.1.0"
_register_accessors()
