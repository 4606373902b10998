"""Small projects whose VALUE is fingerprinted as it stands before and after an edit: `«before → after»`. `--- name.py` starts a further file.

SAME edits must hit, DIFFERENT ones must miss, REFUSED values have no identity (with a word of the error that says why).
"""

from __future__ import annotations

SAME = {
    "nothing edited": """
def VALUE(x):
    return {"a": x + 1, "b": [x, 2.5, None, "é"], "c": x in {"p", "q", "r", "s"}}
""",
    "a comment, a blank line": """
«import math → import math
# what the next function does

»
def VALUE(x):
    «return math.floor(x) → # down

    return math.floor(x)  # to the next whole»
""",
    "an unused global": """
import json
LIMIT = «1 → 2»
def VALUE(x):
    return json.dumps(x)
""",
    "a helper that is not called": """
def helper(x): return x + «1 → 2»
def VALUE(x): return x
""",
    "order of a set constant": """
WORDS = {«"a", "b", "c", "d" → "d", "c", "b", "a"»}
def VALUE(x): return x in WORDS
""",
    "order of a literal set inside the function": """
def VALUE(x): return x in {«"a", "b", "c", "d" → "d", "c", "b", "a"»}
""",
    "mutual recursion": """
def even(n): return n == 0 or odd(n - 1)
def odd(n): return n != 0 and even(n - 1)
VALUE = even
""",
    "recursion in itself": """
def VALUE(n): return 1 if n < 2 else n * VALUE(n - 1)
""",
    "called 5,000 times": """
def helper(x): return x * 2
def VALUE(x): return sum(helper(x) + i for i in range(3)) + len(str(x))
«→ for _ in range(5000):
    VALUE(_)
»
""",
    "a library function": """
import math, json, functools, statistics
from collections import Counter
def VALUE(x): return math.sqrt(x), json.loads, functools.reduce, statistics.mean([x]), Counter("ab")
""",
    "the module's other code": """
from helper import used
def VALUE(x): return used(x)
--- helper.py
def used(x): return x
def other(x): return «1 → 2»
""",
    "another attribute of a module that is imported in the body": """
def VALUE(x):
    import helper
    return helper.used(x)
--- helper.py
def used(x): return x
OTHER = «1 → 2»
""",
    "a logger": """
import logging
log = logging.getLogger("mine")
def VALUE(x):
    log.info("row %s", x)
    return x
""",
    "a class with everything": """
import abc, enum, functools
from dataclasses import dataclass, field
from typing import ClassVar, Generic, NamedTuple, Protocol, TypeVar
T = TypeVar("T")
class Kind(enum.Enum):
    A = "a"
    B = "b"
    def other(self): return Kind.A if self is Kind.B else Kind.B
class Flags(enum.Flag):
    X = 1
    Y = 2
class Base(abc.ABC):
    @abc.abstractmethod
    def run(self, x): ...
class Reads(Protocol):
    def read(self) -> str: ...
class Point(NamedTuple):
    x: int
    y: int = 2
@dataclass(frozen=True, order=True)
class Box(Base, Generic[T]):
    kinds: ClassVar[dict[Kind, int]] = {Kind.A: 1, Kind.B: 2}
    at: Point = Point(1)
    held: list[T] = field(default_factory=list)
    flags: Flags = Flags.X | Flags.Y
    @functools.cached_property
    def size(self): return len(self.held)
    @property
    def twice(self): return self.size * 2
    @staticmethod
    def made(): return Box()
    @classmethod
    def build(cls): return cls()
    def run(self, x): return super().__repr__() + str(self.kinds[Kind.A]) + str(self.at.x)
BOX = Box()
def VALUE(x): return BOX.run(x), Box.made().size, Kind.A.other()
""",
    "a pydantic model": """
from typing import Annotated, Literal
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator
def shorter(v): return v[:3]
class Inner(BaseModel):
    n: int = Field(ge=0)
class VALUE(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    kind: Literal["a", "b"]
    name: Annotated[str, AfterValidator(shorter)]
    inner: list[Inner] = Field(default_factory=list)
    @field_validator("kind", mode="before")
    @classmethod
    def lower(cls, v): return v.lower()
""",
    "a cached property that was read": """
from dataclasses import dataclass
from functools import cached_property
@dataclass(frozen=True)
class Scale:
    k: int
    @cached_property
    def table(self): return [self.k] * 3
    def __call__(self, x): return self.table[0] * x
class Plain:
    @cached_property
    def table(self): return [1] * 3
S, P = Scale(2), Plain()
«→ S.table, P.table»
def VALUE(x): return S(x) + P.table[0]
""",
    "a memo that was filled by calls": """
from functools import cache
@cache
def helper(x): return x * 2
«→ helper(3)»
def VALUE(x): return helper(x)
""",
    "a polars expression": """
import polars as pl
VALUE = pl.when(pl.col("a").is_in(["x", "y"])).then(pl.col("b").str.to_uppercase()).otherwise(pl.lit(None)).over("g").alias("out")
""",
    "a polars function elsewhere in the file": """
import polars as pl
def helper(x): return x + 1
«→ # a line
# and another
»
VALUE = pl.col("a").map_elements(lambda x: helper(x) * 2, return_dtype=pl.Int64) + pl.col("b").map_batches(lambda s: s * 2, return_dtype=pl.Int64)
""",
    "a versioned function that was edited": """
import dreamframe as dr
import threading
LOCK = threading.Lock()
def work(x):
    with LOCK:
        return x + «1 → 2»
VALUE = dr.versioned(work, version=3, depends=["model-7", 1])
""",
    "more than 256 names": """
import math
"""
    + "\n".join(f"N{i} = {i}" for i in range(300))
    + "\nimport helper\ndef VALUE(x): return ("
    + " + ".join(f"N{i}" for i in range(300))
    + " + math.pi + helper.late(x))\n--- helper.py\ndef late(x): return x\n",
    "a runtime default of a step of one's own": """
import polars as pl
from dreamframe.step import RowStep, runtime, step
@step
class Shout(RowStep):
    column: str
    batch: int = runtime(default=«8 → 16»)
    def output_schema(self): return self.inputs[0].schema
    async def run(self, rows, ctx): return rows.with_columns(pl.col(self.column).str.to_uppercase())
VALUE = Shout
""",
}

DIFFERENT = {
    "the body": "def VALUE(x): return x + «1 → 2»",
    "an operator": "def VALUE(x): return x «+ → -» 1",
    "which attribute is read": "def VALUE(x): return x.«strip → lstrip»()",
    "which of two lambdas on one line": "VALUE = (lambda x: x + 1, lambda x: x + 2)[«0 → 1»]",
    "a closure value": """
def make(k): return lambda x: x + k
VALUE = make(«1 → 2»)
""",
    "a closure value of a closure": """
def make(k):
    def outer(x):
        def inner(y): return y + k
        return inner(x)
    return outer
VALUE = make(«1 → 2»)
""",
    "a global constant": """
K = «1 → 2»
def VALUE(x): return x + K
""",
    "a global constant read by a nested function": """
K = «1 → 2»
def VALUE(x): return [(lambda y: y + K)(i) for i in x]
""",
    "1 and True": """
K = «1 → True»
def VALUE(x): return x, K
""",
    "1 and True in the body": "def VALUE(x): return x, «1 → True»",
    "1.0 and 1": "def VALUE(x): return x, «1.0 → 1»",
    "0.0 and -0.0": "def VALUE(x): return x, «0.0 → -0.0»",
    "text and bytes": 'def VALUE(x): return x, «"a" → b"a"»',
    "a helper here": """
def helper(x): return x + «1 → 2»
def VALUE(x): return helper(x)
""",
    "a helper imported by name": """
from helper import h
def VALUE(x): return h(x)
--- helper.py
def h(x): return x + «1 → 2»
""",
    "a helper through a module's attribute": """
import helper
def VALUE(x): return helper.h(x)
--- helper.py
def h(x): return x + «1 → 2»
""",
    "a helper two modules away": """
from first import go
def VALUE(x): return go(x)
--- first.py
import second
def go(x): return second.deep(x)
--- second.py
K = «1 → 2»
def deep(x): return x + K
""",
    "a helper in a package's module": """
import pack.sub
def VALUE(x): return pack.sub.h(x)
--- pack/__init__.py
--- pack/sub.py
def h(x): return x + «1 → 2»
""",
    "a helper imported in the body by name": """
def VALUE(x):
    from helper import h as g
    return g(x)
--- helper.py
def h(x): return x + «1 → 2»
""",
    "a helper of a module imported in the body": """
def VALUE(x):
    import helper
    return helper.h(x)
--- helper.py
def h(x): return x + «1 → 2»
""",
    "a helper of a module imported in the body under another name": """
def VALUE(x):
    import helper as other
    return other.h(x)
--- helper.py
def h(x): return x + «1 → 2»
""",
    "a helper of a dotted module imported in the body": """
def VALUE(x):
    import pack.sub
    return pack.sub.h(x)
--- pack/__init__.py
--- pack/sub.py
def h(x): return x + «1 → 2»
""",
    "a helper of a dotted module imported in the body under another name": """
def VALUE(x):
    import pack.sub.deep as d
    return d.h(x)
--- pack/__init__.py
--- pack/sub/__init__.py
--- pack/sub/deep.py
def h(x): return x + «1 → 2»
""",
    "a helper of a submodule imported from its package in the body": """
def VALUE(x):
    from pack import sub
    return sub.h(x)
--- pack/__init__.py
--- pack/sub.py
def h(x): return x + «1 → 2»
""",
    "a helper imported relatively, from a module named like one of Python's": """
from pack.main import run as VALUE
--- pack/__init__.py
--- pack/main.py
def run(x):
    from .json import h
    return h(x)
--- pack/json.py
def h(x): return x + «1 → 2»
""",
    "a helper of a sibling imported relatively in the body": """
from pack.main import run as VALUE
--- pack/__init__.py
--- pack/main.py
def run(x):
    from . import other
    return other.h(x)
--- pack/other.py
def h(x): return x + «1 → 2»
""",
    "a module imported in the body and used by a function within": """
def VALUE(x):
    import helper
    return [helper.h(i) for i in x], (lambda: helper.h(1))()
--- helper.py
def h(x): return x + «1 → 2»
""",
    "a module imported in a branch": """
def VALUE(x):
    try:
        import missing_module as m
    except ImportError:
        import helper as m
    return m.h(x)
--- helper.py
def h(x): return x + «1 → 2»
""",
    "a project module named like one of Python's": """
import profile
def VALUE(x): return profile.h(x)
--- profile.py
def h(x): return x + «1 → 2»
""",
    "a module made global by the function": """
def VALUE(x):
    global helper
    import helper
    return helper.h(x)
--- helper.py
def h(x): return x + «1 → 2»
""",
    "a default": "def VALUE(x, k=«1 → 2»): return x + k",
    "a keyword default": "def VALUE(x, *, k=«1 → 2»): return x + k",
    "a mutable default": "def VALUE(x, k=[«1 → 2»]): return x + k[0]",
    "an argument's kind": "def VALUE(x, «k → *k»): return x",
    "an argument's name": "def VALUE(«row → line»): return 1",
    "arguments of a partial": """
from functools import partial
def f(k, x): return x + k
VALUE = partial(f, «1 → 2»)
""",
    "keywords of a partial": """
from functools import partial
def f(x, k): return x + k
VALUE = partial(f, k=«1 → 2»)
""",
    "the function of a partial": """
from functools import partial
def f(x, k): return x + «1 → 2»
VALUE = partial(f, k=3)
""",
    "an attribute of a function": """
def VALUE(x): return x + VALUE.k
VALUE.k = «1 → 2»
""",
    "state of a callable object": """
class Add:
    def __init__(self, k): self.k = k
    def __call__(self, x): return x + self.k
VALUE = Add(«1 → 2»)
""",
    "a method of a callable object": """
class Add:
    def helper(self, x): return x + «1 → 2»
    def __call__(self, x): return self.helper(x)
VALUE = Add()
""",
    "a base class of a callable object": """
from base import Base
class Add(Base):
    def __call__(self, x): return self.helper(x)
VALUE = Add()
--- base.py
class Base:
    def helper(self, x): return x + «1 → 2»
""",
    "a class attribute": """
class Add:
    K = «1 → 2»
    def __call__(self, x): return x + self.K
VALUE = Add()
""",
    "a bound method's object": """
class Add:
    def __init__(self, k): self.k = k
    def add(self, x): return x + self.k
VALUE = Add(«1 → 2»).add
""",
    "a class method": """
class Add:
    K = «1 → 2»
    @classmethod
    def add(cls, x): return x + cls.K
VALUE = Add.add
""",
    "a static method": """
class Add:
    @staticmethod
    def add(x): return x + «1 → 2»
VALUE = Add.add
""",
    "a property": """
class Add:
    @property
    def k(self): return «1 → 2»
    def __call__(self, x): return x + self.k
VALUE = Add()
""",
    "a cached property": """
from functools import cached_property
class Add:
    @cached_property
    def k(self): return «1 → 2»
    def __call__(self, x): return x + self.k
VALUE = Add()
""",
    "a partial method": """
from functools import partialmethod
class Add:
    def add(self, k, x): return x + k
    __call__ = partialmethod(add, «1 → 2»)
VALUE = Add()
""",
    "slots": """
class Add:
    __slots__ = ("k", "__hidden")
    def __init__(self, k, hidden):
        self.k, self.__hidden = k, hidden
    def __call__(self, x): return x + self.k + self.__hidden
VALUE = Add(1, «1 → 2»)
""",
    "a metaclass": """
class Meta(type):
    def __call__(cls, *args): return «1 → 2»
class Add(metaclass=Meta): ...
def VALUE(x): return Add(x)
""",
    "a user's descriptor": """
class K:
    def __get__(self, instance, owner): return «1 → 2»
class Add:
    k = K()
    def __call__(self, x): return x + self.k
VALUE = Add()
""",
    "a decorator of one's own": """
from functools import wraps
def add(f):
    @wraps(f)
    def inner(x): return f(x) + «1 → 2»
    return inner
@add
def VALUE(x): return x
""",
    "what a decorator of one's own wraps": """
from functools import wraps
def add(f):
    @wraps(f)
    def inner(x): return f(x) + 1
    return inner
@add
def VALUE(x): return x + «1 → 2»
""",
    "a decorator that is a class": """
import functools
class Add:
    def __init__(self, f):
        functools.update_wrapper(self, f)
        self.f = f
    def __call__(self, x): return self.f(x) + «1 → 2»
@Add
def VALUE(x): return x
""",
    "what functools.cache wraps": """
import functools
@functools.cache
def VALUE(x): return x + «1 → 2»
""",
    "what a context manager of contextlib holds": """
from contextlib import contextmanager
@contextmanager
def around(x): yield x + «1 → 2»
def VALUE(x):
    with around(x) as y:
        return y
""",
    "a single dispatch's other case": """
import functools
@functools.singledispatch
def show(x): return "any"
@show.register
def _(x: int): return "«int → number»"
def VALUE(x): return show(x)
""",
    "a nested comprehension": "def VALUE(x): return [[j * «2 → 3» for j in range(i)] for i in x]",
    "a constant of a frozen set": 'def VALUE(x): return x in {"a", "«b → c»"}',
    "a global set": """
WORDS = {"a", "«b → c»"}
def VALUE(x): return x in WORDS
""",
    "a dict's value": """
PRICES = {"a": 1, "b": «1 → 2»}
def VALUE(x): return PRICES[x]
""",
    "a dict's order": """
PRICES = {«"a": 1, "b": 2 → "b": 2, "a": 1»}
def VALUE(x): return next(iter(PRICES))
""",
    "a dict of functions": """
RULES = {"a": lambda x: x, "b": lambda x: x + «1 → 2»}
def VALUE(x): return RULES["b"](x)
""",
    "a default dict's default": """
from collections import defaultdict
PRICES = defaultdict(lambda: «1 → 2», a=1)
def VALUE(x): return PRICES[x]
""",
    "a simple namespace": """
from types import SimpleNamespace
CONFIG = SimpleNamespace(k=«1 → 2»)
def VALUE(x): return x + CONFIG.k
""",
    "an item getter": """
from operator import itemgetter
GET = itemgetter(«"a" → "b"»)
def VALUE(x): return GET(x)
""",
    "a deque": """
from collections import deque
LAST = deque([«1 → 2»])
def VALUE(x): return x + LAST[0]
""",
    "a numpy array": """
import numpy as np
W = np.array([1.0, «1.0 → 2.0»])
def VALUE(x): return float(W.sum()) + x
""",
    "a numpy array's type": """
import numpy as np
W = np.array([1, 2], dtype="«int64 → uint64»")
def VALUE(x): return W.dtype
""",
    "a numpy array's field names": """
import numpy as np
W = np.array([(1, 2)], dtype=[("a", "i4"), ("«b → c»", "i4")])
def VALUE(x): return W.dtype.names
""",
    "a numpy array's layout of values": """
import numpy as np
W = np.array([[1, 2], [3, 4]])«→ .T»
def VALUE(x): return W[0]
""",
    "a numpy scalar and a number": """
import numpy as np
K = «1.0 → np.float64(1.0)»
def VALUE(x): return K
""",
    "a pandas frame": """
import pandas as pd
T = pd.DataFrame({"a": [1, «2 → 3»]})
def VALUE(x): return T["a"].sum()
""",
    "a pandas index": """
import pandas as pd
T = pd.Series([1, 2], index=["a", "«b → c»"])
def VALUE(x): return T[x]
""",
    "a polars frame": """
import polars as pl
T = pl.DataFrame({"a": [1, «2 → 3»]})
def VALUE(x): return T.sum()
""",
    "a compiled regex": """
import re
WORD = re.compile(r"\\b«\\w+ → \\d+»\\b")
def VALUE(x): return WORD.findall(x)
""",
    "a regex's flags": """
import re
WORD = re.compile("a"«→ , re.IGNORECASE»)
def VALUE(x): return WORD.findall(x)
""",
    "a date": """
from datetime import date
DAY = date(2024, 1, «1 → 2»)
def VALUE(x): return DAY
""",
    "a time zone": """
from datetime import datetime, timezone, timedelta
NOW = datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1), "«A → B»"))
def VALUE(x): return NOW
""",
    "a time zone's offset under one name": """
from datetime import timezone, timedelta
ZONE = timezone(timedelta(hours=«1 → 2»), "here")
def VALUE(x): return ZONE
""",
    "a zone": """
from zoneinfo import ZoneInfo
ZONE = ZoneInfo("«Europe/Berlin → Europe/Paris»")
def VALUE(x): return ZONE
""",
    "a decimal": """
from decimal import Decimal
K = Decimal("1.«0 → 00»")
def VALUE(x): return K
""",
    "a uuid": """
from uuid import UUID
K = UUID(int=«1 → 2»)
def VALUE(x): return K
""",
    "a path": """
from pathlib import Path
K = Path("a/«b → c»")
def VALUE(x): return K
""",
    "bytes": """
K = b"\\x00«\\x01 → \\x02»"
def VALUE(x): return K
""",
    "a subclass of a built-in type": """
class Text(str):
    def shout(self): return self.upper() + "«! → ?»"
K = Text("a")
def VALUE(x): return K.shout()
""",
    "an exception's arguments": """
class Bad(ValueError): ...
ERROR = Bad("«a → b»")
def VALUE(x): raise ERROR
""",
    "an enum's value": """
import enum
class Kind(enum.Enum):
    A = «1 → 2»
def VALUE(x): return Kind.A.value
""",
    "an enum's method": """
import enum
class Kind(enum.Enum):
    A = 1
    def shown(self): return «1 → 2»
K = Kind.A
def VALUE(x): return K.shown()
""",
    "a text enum's method": """
import enum
class Kind(str, enum.Enum):
    A = "a"
    def shown(self): return «1 → 2»
K = Kind.A
def VALUE(x): return K.shown()
""",
    "a dataclass's default": """
from dataclasses import dataclass
@dataclass
class Config:
    k: int = «1 → 2»
def VALUE(x): return x + Config().k
""",
    "a dataclass's default factory": """
from dataclasses import dataclass, field
@dataclass
class Config:
    k: list = field(default_factory=lambda: [«1 → 2»])
def VALUE(x): return x + Config().k[0]
""",
    "a dataclass's order": """
from dataclasses import dataclass
@dataclass(«eq=True → order=True»)
class Pair:
    a: int
def VALUE(x): return sorted([Pair(x)])
""",
    "a dataclass's method": """
from dataclasses import dataclass
@dataclass(frozen=True)
class Add:
    k: int
    def __call__(self, x): return x + self.k + «1 → 2»
VALUE = Add(1)
""",
    "what a dataclass keeps beside its fields": """
from dataclasses import InitVar, dataclass
@dataclass
class Add:
    given: InitVar[int]
    def __post_init__(self, given): self.k = given
    def __call__(self, x): return x + self.k
VALUE = Add(«1 → 2»)
""",
    "a named tuple's default": """
from typing import NamedTuple
class Config(NamedTuple):
    k: int = «1 → 2»
def VALUE(x): return x + Config().k
""",
    "a named tuple's value": """
from collections import namedtuple
Config = namedtuple("Config", "a b")
C = Config(1, «1 → 2»)
def VALUE(x): return x + C.b
""",
    "an attrs class's default": """
import attrs
@attrs.define
class Config:
    k: int = «1 → 2»
def VALUE(x): return x + Config().k
""",
    "a pydantic validator": """
from pydantic import BaseModel, field_validator
class VALUE(BaseModel):
    a: str
    @field_validator("a")
    @classmethod
    def check(cls, v): return v + "«1 → 2»"
""",
    "the mode of a pydantic validator": """
from pydantic import BaseModel, field_validator
class VALUE(BaseModel):
    a: str
    @field_validator("a", mode="«before → after»")
    @classmethod
    def check(cls, v): return v
""",
    "a helper of a pydantic validator": """
from typing import Annotated
from pydantic import AfterValidator, BaseModel
def cut(v): return v[:«1 → 2»]
class VALUE(BaseModel):
    a: Annotated[str, AfterValidator(cut)]
""",
    "a validator of a nested pydantic model": """
from pydantic import BaseModel, field_validator
class Inner(BaseModel):
    a: str
    @field_validator("a")
    @classmethod
    def check(cls, v): return v + "«1 → 2»"
class VALUE(BaseModel):
    inner: list[Inner]
""",
    "a pydantic default factory": """
from pydantic import BaseModel, Field
class VALUE(BaseModel):
    a: list[int] = Field(default_factory=lambda: [«1 → 2»])
""",
    "a pydantic setting": """
from pydantic import BaseModel, ConfigDict
class VALUE(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=«True → False»)
    a: str
""",
    "a description in a pydantic model": """
from pydantic import BaseModel, Field
class VALUE(BaseModel):
    a: str = Field(description="«short → long»")
""",
    "an annotated type's function": """
from typing import Annotated
from pydantic import AfterValidator
VALUE = Annotated[str, AfterValidator(lambda v: v[:«1 → 2»])]
""",
    "a list type's inner class": """
from pydantic import BaseModel
class Inner(BaseModel):
    def shown(self): return «1 → 2»
VALUE = list[Inner]
""",
    "a literal type": """
from typing import Literal
VALUE = Literal["a", "«b → c»"]
""",
    "a user's step": """
import polars as pl
from dreamframe.step import RowStep, step
from dreamframe.steps.source import Table
@step
class Shout(RowStep):
    column: str
    def output_schema(self): return self.inputs[0].schema
    async def run(self, rows, ctx): return rows.with_columns(pl.col(self.column).str.to_«upper → lower»case())
VALUE = Shout(inputs=(Table(data=pl.DataFrame({"a": ["x"]})),), column="a")
""",
    "a user's model": """
from dataclasses import dataclass
from dreamframe.call import Completion
from dreamframe.testing import Fake
@dataclass(frozen=True)
class Mine(Fake):
    model: str = "mine"
    def reply(self, request): return Completion(request.prompt + "«! → ?»")
VALUE = Mine()
""",
    "a user's prompt": """
import polars as pl
from dataclasses import dataclass
from dreamframe.prompts.base import Prompt
@dataclass(frozen=True)
class Polite(Prompt):
    @property
    def columns(self): return ("a",)
    @property
    def summary(self): return "polite"
    def check(self, schema, *, step): ...
    def render(self, rows): return rows["a"] + "«, please → , now»"
    def renamed(self, names): return self
VALUE = Polite()
""",
    "a version": """
import dreamframe as dr
VALUE = dr.versioned(print, version=«1 → 2»)
""",
    "what a versioned function depends on": """
import dreamframe as dr
def helper(x): return x + «1 → 2»
VALUE = dr.versioned(print, version=1, depends=[helper])
""",
    "a versioned function's version below a helper": """
import dreamframe as dr
work = dr.versioned(lambda x: x, version=«1 → 2»)
def VALUE(x): return work(x)
""",
    "a bound built-in method": 'VALUE = "«a → b»".join',
    "a bound built-in method in a helper": """
PRICES = {"a": «1 → 2»}
get = PRICES.get
def VALUE(x): return get(x)
""",
    "a bound operator": "VALUE = («1 → 2»).__add__",
    "a built-in's name": "VALUE = «min → max»",
    "a library's function": """
import math
def VALUE(x): return math.«floor → ceil»(x)
""",
    "a list with functions": """
STEPS = [str.strip, lambda x: x + "«1 → 2»"]
def VALUE(x):
    for s in STEPS: x = s(x)
    return x
""",
    "a generator function": "def VALUE(x): yield x + «1 → 2»",
    "an async function": "async def VALUE(x): return x + «1 → 2»",
    "a try's order": """
def VALUE(x):
    try:
        return «int(x) → float(x)»
    except ValueError:
        return None
""",
    "which error is caught": """
def VALUE(x):
    try:
        return int(x)
    except «ValueError → TypeError»:
        return None
""",
    "an f-string's format": 'def VALUE(x): return f"{x:«.1f → .2f»}"',
    "a match's case": """
def VALUE(x):
    match x:
        case {"a": «1 → 2»}: return 1
        case _: return 0
""",
    "polars map_elements": """
import polars as pl
VALUE = pl.col("a").map_elements(lambda x: x + «1 → 2», return_dtype=pl.Int64)
""",
    "a helper of polars map_elements": """
import polars as pl
from helper import h
VALUE = pl.col("a").map_elements(lambda x: h(x), return_dtype=pl.Int64).alias("b")
--- helper.py
def h(x): return x + «1 → 2»
""",
    "a function of another module in polars map_elements": """
import polars as pl
from helper import h
VALUE = pl.col("a").map_elements(h, return_dtype=pl.Int64)
--- helper.py
def h(x): return x + «1 → 2»
""",
    "a helper of polars map_batches": """
import polars as pl
import helper
VALUE = pl.col("a").map_batches(helper.h)
--- helper.py
def h(s): return s + deeper(s)
def deeper(s): return «1 → 2»
""",
    "a helper of polars rolling_map": """
import polars as pl
def h(s): return s.sum() + «1 → 2»
VALUE = pl.col("a").rolling_map(lambda s: h(s), window_size=2)
""",
    "a helper of polars fold": """
import polars as pl
def h(a, b): return a + b * «1 → 2»
VALUE = pl.fold(acc=pl.lit(0), function=lambda a, b: h(a, b), exprs=pl.all())
""",
    "a helper of polars reduce": """
import polars as pl
def h(a, b): return a + b * «1 → 2»
VALUE = pl.reduce(function=h, exprs=pl.all())
""",
    "a helper of polars name.map": """
import polars as pl
from helper import h
VALUE = pl.col("a").name.map(h)
--- helper.py
def h(name): return name + "«1 → 2»"
""",
    "a helper of polars pl.map_batches over several columns": """
import polars as pl
def h(s): return s[0] + s[1] * «1 → 2»
VALUE = pl.map_batches(["a", "b"], h)
""",
    "a helper of polars map_groups": """
import polars as pl
def h(s): return s[0].sum() * «1 → 2»
VALUE = pl.map_groups(["a"], h, return_dtype=pl.Int64, returns_scalar=True)
""",
    "a helper of polars list.eval": """
import polars as pl
def h(x): return x + «1 → 2»
VALUE = pl.col("a").list.eval(pl.element().map_elements(h, return_dtype=pl.Int64))
""",
    "a callable object in polars": """
import polars as pl
class Add:
    def __init__(self, k): self.k = k
    def __call__(self, s): return s + self.k
VALUE = pl.col("a").map_batches(Add(«1 → 2»))
""",
    "a polars literal": """
import polars as pl
VALUE = pl.col("a").is_in(["x", "«y → z»"])
""",
    "a polars expression that a function holds": """
import polars as pl
TALL = pl.col("a") > «1 → 2»
def VALUE(df): return df.filter(TALL)
""",
}

REFUSED = {
    "a lock": ("import threading\nLOCK = threading.Lock()\ndef VALUE(x):\n    with LOCK: return x", "lock"),
    "an open file": ("import os\nFILE = open(os.devnull)\ndef VALUE(x): return FILE.read()", "TextIOWrapper"),
    "a socket": ("import socket\nS = socket.socket()\ndef VALUE(x): return S.recv(1)", "socket"),
    "a generator": ("G = (i for i in range(3))\ndef VALUE(x): return next(G)", "generator"),
    "an iterator": ("G = iter([1, 2])\ndef VALUE(x): return next(G)", "list_iterator"),
    "a counter": ("import itertools\nG = itertools.count()\ndef VALUE(x): return next(G)", "count"),
    "a module as a value": ("import helper\ndef VALUE(x): return getattr(helper, x)\n--- helper.py\n", "helper"),
    "a module as a value in the body": ("def VALUE(x):\n    import helper\n    return getattr(helper, x)\n--- helper.py\n", "helper"),
    "a module under another name": ("import helper\ndef VALUE(x):\n    m = helper\n    return m.h(x)\n--- helper.py\ndef h(x): return x", "helper"),
    "a module in a list": ("import helper\nMODULES = [helper]\ndef VALUE(x): return MODULES[0].h(x)\n--- helper.py\ndef h(x): return x", "helper"),
    "a weak reference": ("import weakref\nclass A: ...\nA1 = A()\nR = weakref.ref(A1)\ndef VALUE(x): return R()", "ReferenceType"),
    "a library's object": ("import tokenizers\nT = tokenizers.Tokenizer(tokenizers.models.BPE())\ndef VALUE(x): return T.encode(x)", "Tokenizer"),
    "an object that holds a lock": (
        "import threading\nclass A:\n    def __init__(self): self.lock = threading.Lock()\nA1 = A()\ndef VALUE(x): return A1.lock",
        "lock",
    ),
    "a queue": ("import queue\nQ = queue.Queue()\ndef VALUE(x): return Q.get()", "lock"),
    "a thread's own values": ("import threading\nL = threading.local()\ndef VALUE(x): return L.x", "local"),
    "a context variable": ("import contextvars\nV = contextvars.ContextVar('v', default=1)\ndef VALUE(x): return V.get()", "ContextVar"),
    "the environment": ("from os import environ\ndef VALUE(x): return environ['K']", "_Environ"),
    "eval": ("def VALUE(x): return eval(x)", "eval"),
    "a name looked up in globals()": ("def h(x): return x\ndef VALUE(x): return globals()['h'](x)", "globals"),
    "a module imported by name": ("import importlib\ndef VALUE(x): return importlib.import_module('helper').h(x)\n--- helper.py\ndef h(x): return x", "import_module"),
    "__import__": ("def VALUE(x): return __import__('helper').h(x)\n--- helper.py\ndef h(x): return x", "__import__"),
    "a lock in a polars function": (
        "import threading\nimport polars as pl\nLOCK = threading.Lock()\ndef f(s):\n    with LOCK: return s\nVALUE = pl.col('a').map_batches(f)",
        "lock",
    ),
    "a running memory of a library's C code": ("import hashlib\nH = hashlib.sha256()\ndef VALUE(x): return H.update(x)", "HASH"),
    "a subclass with a C state that cannot be read": (
        "import hashlib, _thread\nclass L(_thread._local):\n    def __init__(self): self.k = 1\nA = L()\ndef VALUE(x): return A.k",
        "local",
    ),
}
