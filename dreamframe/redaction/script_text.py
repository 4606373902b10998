"""A user's program without its secrets: found in its syntax tree, where a name says that a literal is one, and by their form everywhere else."""

from __future__ import annotations

import ast
import io
import itertools
import re
import tokenize
from collections.abc import Iterator, Mapping
from typing import Any

from dreamframe.redaction.key_shapes import without_secrets
from dreamframe.redaction.secret import HARMLESS_HEADERS, MASK, is_secret_name

WEAK = {"key", "code", "sig", "pin", "cred", "creds", "auth", "headers", "cookies", "userinfo", "proxy", "proxies", "storage_options", "dsn", "pat"}
ALL_WITHIN = {"auth", "headers", "extra_headers", "default_headers", "cookies", "userinfo", "cred", "creds"}  # names under which every text is one
NO_SECRET = re.compile(
    r"(?:primary|foreign|sort|cache|group|join|partition|index|row|lookup|hash|dict|order|unique|public|by|eos|bos|pad|unk|mask|cls|sep|first|last|stop)[_-]?(?:key|token)s?$"
)
TELLS = re.compile(r"basicauth|digestauth|bearer|login|credential|set_?(?:key|token|password)|authenticate|sign_?in", re.IGNORECASE)
HARMLESS = re.compile(r"(?i)(?:bearer|basic|token|digest|key)\s*|utf-?8|latin-?1|ascii|https?|base64")
BROAD = re.compile(r"[_-](?:keys?|token|auth|pat)$")
HANDS_ON = re.compile(r"(?:^|\.)(?:join|format|b64decode|str|bytes|SecretStr|Secret|next|iter)$")
PUBLIC = ("revision", "commit", "sha", "digest", "checksum", "fingerprint", "identity", "identity_", "md5", "sha256")
SOUGHT = re.compile(r".{8,}|(?=.*\d).{6,}", re.DOTALL)  # a secret that is looked for elsewhere in the program: "user" may stand anywhere


class UnreadableScriptError(ValueError):
    """The program is not Python as this interpreter reads it, so nobody knows what in it is a secret."""


def without_secrets_of_script(source: str) -> str:
    """The program with stars for its secrets; everything else as it was. Raises UnreadableScriptError.

    >>> print(without_secrets_of_script('llm = OpenAI("m", api_key="abc")  # api_key="abc"'))
    llm = OpenAI("m", api_key='***')  # ***
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        raise UnreadableScriptError(f"it does not parse as Python ({type(exc).__name__})") from exc
    try:
        found = Finder(tree)
        made = _edited(source, [*_comments(source, found.texts), *found.edits()])
        ast.parse(made)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        raise UnreadableScriptError("it would not be Python without its secrets") from exc
    return made


class Finder:
    """What in a program is secret."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._names: set[str] = set()  # variables that become a secret somewhere
        self._secret: dict[int, ast.expr] = {}  # id → literal
        self._public: set[int] = set()
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        self._given = {f.name: [n.value for n in ast.walk(f) if isinstance(n, ast.Return) and n.value is not None] for f in functions}
        self._parameters = {f.name: [a.arg for a in f.args.posonlyargs + f.args.args] for f in functions}
        before = -1
        while before != len(self._names):  # a = "x"; b = a; OpenAI(api_key=b)
            before = len(self._names)
            for node in ast.walk(tree):
                self._look(node)
        self.texts = {t for node in self._secret.values() for t in _texts(node) if SOUGHT.fullmatch(t)}

    def edits(self) -> Iterator[tuple[ast.expr, str]]:
        """The literals to change, and what stands there instead."""
        joined = [node for node in ast.walk(self._tree) if isinstance(node, ast.JoinedStr)]
        inside = {id(part) for node in joined for part in ast.walk(node) if part is not node}  # of f-strings, which are changed whole
        for node in ast.walk(self._tree):
            if id(node) in inside or not isinstance(node, ast.Constant | ast.JoinedStr):
                continue
            if isinstance(node, ast.JoinedStr):
                made = self._joined(node)
            elif id(node) in self._secret:
                made = f"b{MASK!r}" if isinstance(node.value, bytes) else repr(MASK)
            elif isinstance(node.value, str | bytes) and id(node) not in self._public:
                made = repr(self._clean(node.value))
                made = "" if made == repr(node.value) else made
            else:
                made = ""
            if made:
                yield node, made

    def _joined(self, node: ast.JoinedStr) -> str:
        """An f-string: its literals inside, and the texts between."""
        is_secret = id(node) in self._secret
        was = ast.unparse(node)
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                is_one = id(part) in self._secret or (is_secret and _may_be_secret(part.value))
                part.value = MASK if is_one else self._clean(part.value)
        made = ast.unparse(node)
        return made if made != was else ""

    def _clean(self, value: Any) -> Any:
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        for secret in sorted(self.texts, key=len, reverse=True):
            text = text.replace(secret, MASK)
        text = without_secrets(text)
        return text.encode("latin-1", "replace") if isinstance(value, bytes) else text

    # Where secrets stand

    def _look(self, node: ast.AST) -> None:
        match node:
            case ast.Call():
                self._call(node)
            case ast.Assign():
                for target in node.targets:
                    self._assigned(target, node.value)
            case ast.AnnAssign() | ast.AugAssign() | ast.NamedExpr():
                if node.value is not None:
                    self._assigned(node.target, node.value)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                self._defaults(node.args)
            case ast.Match() if self._is_secret(self._name_of(node.subject)):
                for value in [n.value for n in ast.walk(node) if isinstance(n, ast.MatchValue)]:
                    self._take(value)
            case ast.For() | ast.AsyncFor() | ast.comprehension():
                self._assigned(node.target, node.iter)
            case ast.expr():
                self._look_inside(node)

    def _look_inside(self, node: ast.expr) -> None:
        match node:
            case ast.Dict():
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant):
                        self._under(str(key.value), value)
            case ast.Tuple() | ast.List():
                self._pairs(node.elts)
            case ast.Compare():
                self._compared([node.left, *node.comparators])

    def _call(self, node: ast.Call) -> None:
        for keyword in node.keywords:
            self._under(keyword.arg or "", keyword.value)
            if keyword.arg == "default" and any(self._is_named(n) for n in (*node.args, *(k.value for k in node.keywords if k.arg != "default"))):
                self._take(keyword.value)  # add_argument("--api-key", default="x")
        self._pairs(node.args)
        if isinstance(node.func, ast.Attribute) and self._name_of(node.func.value).lower() in ALL_WITHIN:  # headers.update({…})
            for arg in node.args[-1:] if node.func.attr not in ("get", "pop") else ():
                self._take(arg, is_header=True)
        called = ast.unparse(node.func)
        if TELLS.search(called):
            for arg in node.args:
                self._take(arg)
        for name, value in zip(self._parameters.get(called.rpartition(".")[2], ()), node.args, strict=False):
            self._under(name, value)

    def _is_named(self, node: ast.expr) -> bool:
        name = node.value.lstrip("-") if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        return is_secret_name(name) or bool(re.fullmatch(r"[A-Z][A-Z0-9_]*_(?:KEY|TOKEN|PAT|AUTH)", name))

    def _assigned(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            parts = value.elts if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts) else [value] * len(target.elts)
            for one, part in zip(target.elts, parts, strict=True):
                self._assigned(one, part)
            return
        self._under(self._name_of(target), value)
        if isinstance(target, ast.Subscript) and self._name_of(target.value).lower() in ALL_WITHIN:
            self._under(self._name_of(target.value), value)

    def _name_of(self, node: ast.expr) -> str:
        match node:
            case ast.Name():
                return node.id
            case ast.Attribute():
                return node.attr
            case ast.Subscript(slice=ast.Constant(value=str() as name)):
                return name
            case ast.Starred():
                return self._name_of(node.value)
        return ""

    def _pairs(self, nodes: list[ast.expr]) -> None:
        """`("authorization", "x")`, `setenv("API_KEY", "x")`: a secret's name, then the secret."""
        for name, value in itertools.pairwise(nodes):
            if self._is_named(name):
                self._take(value)

    def _compared(self, nodes: list[ast.expr]) -> None:
        if any(self._is_secret(self._name_of(n)) for n in nodes):
            for node in nodes:
                self._take(node)

    def _defaults(self, args: ast.arguments) -> None:
        plain = [*args.posonlyargs, *args.args]
        given = list(zip(plain[len(plain) - len(args.defaults) :], args.defaults, strict=True))
        given += [(a, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True) if d is not None]
        for a, default in given:
            self._under(a.arg, default)

    # What a name says

    def _is_secret(self, name: str) -> bool:
        low = name.lower()
        if low in HARMLESS_HEADERS or NO_SECRET.search(low):
            return False
        return is_secret_name(name) or name in self._names

    def _under(self, name: str, value: ast.expr) -> None:
        """A value that goes by a name."""
        low = name.lower()
        if self._is_secret(name) or low in ALL_WITHIN:
            self._take(value, is_header=low.endswith("headers"))
        elif BROAD.search(low) and not NO_SECRET.search(low) and not any(isinstance(n, ast.Name | ast.Call) for n in ast.walk(value)):
            self._take(value)  # azure_key = "x"; not cache_key = digest(rows)
        elif low in WEAK or BROAD.search(low):
            for node in ast.walk(value):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"\d", node.value) and re.fullmatch(r"\S{8,}", node.value):
                    self._secret[id(node)] = node
        elif low in PUBLIC and isinstance(value, ast.Constant) and re.fullmatch(r"[0-9a-f:]{7,80}|sha256:\w+", str(value.value)):
            self._public.add(id(value))

    def _take(self, node: ast.expr, *, is_header: bool = False) -> None:
        """Every literal of an expression; the variables that it reads; not the names under which a dict keeps them, and not what a call is asked for."""
        match node:
            case ast.Constant():
                if _may_be_secret(node.value):
                    self._secret[id(node)] = node
            case ast.Name():
                self._names.add(node.id)
            case ast.Lambda():
                self._take(node.body)
            case ast.Dict():
                for key, value in zip(node.keys, node.values, strict=True):
                    if not (is_header and isinstance(key, ast.Constant) and str(key.value).lower() in HARMLESS_HEADERS):
                        self._take(value)
            case ast.Call():
                self._taken_call(node)
            case _:
                for part in self._parts(node):
                    self._take(part)

    def _parts(self, node: ast.expr) -> list[ast.expr]:
        """What of an expression may be the secret itself."""
        match node:
            case ast.Subscript() | ast.Attribute():  # os.environ["API_KEY"]: a name, not a key
                return [] if isinstance(node.value, ast.Name) and isinstance(node, ast.Attribute) else [node.value]
            case ast.IfExp():
                return [node.body, node.orelse]
            case ast.JoinedStr():
                return [part.value if isinstance(part, ast.FormattedValue) else part for part in node.values]
        return [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]

    def _taken_call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func)
        for given in self._given.pop(called, ()):  # what a function of the program gives
            self._take(given)
        is_read = re.search(r"(?:environ\.get|getenv|getpass|get_secret|get_password|\.get|open|read_text|Path|input)$", called)
        for arg in (*(node.args[1:] if is_read else node.args), *(k.value for k in node.keywords)):
            if HANDS_ON.search(called) or not any(isinstance(n, ast.Name) for n in ast.walk(arg)):
                self._take(arg)
        if isinstance(node.func, ast.Name):
            self._names.add(node.func.id)  # a lambda's
        if isinstance(node.func, ast.Attribute):  # "abc".strip()
            for part in self._parts(node.func):
                self._take(part)


def _may_be_secret(value: object) -> bool:
    """Whether a literal in the place of a secret can be one: no separator, no charset, no `Bearer `."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) > 99_999  # a PIN
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    return isinstance(text, str) and any(c.isalnum() for c in text) and not HARMLESS.fullmatch(text)


def _texts(node: ast.expr) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str | bytes):
            yield part.value if isinstance(part.value, str) else part.value.decode("latin-1")


def _comments(source: str, texts: set[str]) -> Iterator[tuple[tuple[int, int, int, int], str]]:
    """Comments that may hold a secret, as positions."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError) as exc:
        raise UnreadableScriptError("its comments cannot be told from its code") from exc
    for token in tokens:
        if token.type != tokenize.COMMENT:
            continue
        said = token.string.lstrip("#!: ")
        if without_secrets(said) != said or any(t in said for t in texts) or _code_has_secrets(said):
            (line, start), (_, end) = token.start, token.end
            yield (line, start, line, end), f"# {MASK}"


def _code_has_secrets(said: str) -> bool:
    """Whether a comment is code with a secret in it, or a part of such code."""
    for text in (said, said.strip().rstrip(",")):
        for code in (text, f"f({text})", f"{{{text}}}"):
            try:
                tree = ast.parse(code.strip())
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            if next(Finder(tree).edits(), None) is not None:
                return True
    if (last := re.fullmatch(r".*?([\w-]+)\s*[:=]\s*\S+\s*", said)) and is_secret_name(last[1]):
        return True
    tells = re.search(r"(?<!\w)[\"'][^\"'\s]{3,}[\"']|[=:]\s*(?=\S*\d)\S{4,}|(?<!\S)(?=\S*\d)(?=\S*[A-Za-z])\S{6,}", said)
    return tells is not None and any(is_secret_name(w) for w in re.findall(r"[\w-]+", said))


def _edited(source: str, edits: list[Any]) -> str:
    """The source with pieces replaced. Columns of nodes count bytes, those of tokens characters."""
    lines = source.splitlines(keepends=True) if "\f" not in source else re.split(r"(?<=\n)", source)
    starts: Mapping[int, int] = dict(enumerate(_running(lines), start=1))

    def at(line: int, column: int) -> int:
        return starts[line] + len(lines[line - 1].encode()[:column].decode())

    placed: list[tuple[int, int, str]] = []
    for where, made in edits:
        if isinstance(where, tuple):
            placed.append((starts[where[0]] + where[1], starts[where[2]] + where[3], made))
        else:
            placed.append((at(where.lineno, where.col_offset), at(where.end_lineno, where.end_col_offset), made))
    for start, end, made in sorted(placed, reverse=True):
        source = source[:start] + made + source[end:]
    return source


def _running(lines: list[str]) -> Iterator[int]:
    n = 0
    for line in lines:
        yield n
        n += len(line)
