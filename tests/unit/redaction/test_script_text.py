"""Scripts that are kept lose every secret that their syntax tells, and nothing else."""

from __future__ import annotations

import ast
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.redaction.script_text import UnreadableScriptError, without_secrets_of_script
from dreamframe.session import PlanRecord
from dreamframe.testing import Echo
from tests.leaks import leaks

KEY = "CANARYeeee4444ffff5555aaaa6666bbbb"
PLAIN = "correct horse battery"  # nothing in it looks drawn: only where it stands tells

HOLDS = {
    "keyword": 'big = dr.Mistral("mistral-large", api_key="{k}")',
    "two pieces": 'big = dr.Mistral("m", api_key=("{a}"\n    "{b}"))',
    "bytes": 'f(password=b"{k}")',
    "f-string": "f(token=f'{k}')",
    "f-string header": 'f(headers={{"x-any": f"Bearer {{p}}"}})\np = "{k}"',
    "variable": 'azure_key = "{k}"',
    "attribute": 'openai.api_key = "{k}"',
    "annotated": 'API_TOKEN: str = "{k}"',
    "walrus": 'f(pw := "{k}")',
    "unpacked": 'TOKEN, n = "{k}", 5',
    "list of keys": 'API_KEYS = ["{k}", "{k}"]',
    "loop": 'for token in ["{k}"]: f(token)',
    "through variables": 'a = "{k}"\nb = a\nf(api_key=b)',
    "environment": 'os.environ["MY_PASS"] = "{k}"',
    "setdefault": 'os.environ.setdefault("OPENAI_API_KEY", "{k}")',
    "getenv": 'os.getenv("OPENAI_API_KEY", "{k}")',
    "putenv": 'os.putenv("DB_PASSWORD", "{k}")',
    "update": 'os.environ.update({{"HF_TOKEN": "{k}"}})',
    "update by keyword": 'os.environ.update(HF_TOKEN="{k}")',
    "dict": 'options = {{"aws_secret_access_key": "{k}"}}',
    "dict()": 'options = dict(password="{k}")',
    "storage_options": 'scan(storage_options={{"aws_session_token": "{k}"}})',
    "auth": 'requests.get(u, auth=("user", "{k}"))',
    "headers": 'f(headers={{"X-Custom": "{k}"}})',
    "headers of a session": 's.headers["X-Custom"] = "{k}"\ns.headers.update({{"x": "{k}"}})',
    "list of headers": 'f([("authorization", "{k}")])',
    "cookies": 'f(cookies={{"session": "{k}"}})',
    "login": 'huggingface_hub.login("{k}")',
    "basic auth": 'aiohttp.BasicAuth("me", "{k}")',
    "own function": 'def make(api_key, n=1): ...\nmake("{k}")',
    "default": 'def make(api_key="{k}"): ...',
    "default, keyword": 'def make(*, password="{k}"): ...',
    "class": 'class C:\n    secret = "{k}"',
    "comparison": 'if token == "{k}": pass',
    "either": 'api_key = os.environ.get("K") or "{k}"',
    "condition": 'api_key = "{k}" if x else None',
    "method": 'f(api_key="{k}".strip())',
    "decoded": 'secret = base64.b64decode("{k}")',
    "lambda": 'f = lambda token="{k}": token',
    "what a function gives": 'def key():\n    return key() or "{k}"\nf(api_key=key())',
    "what a lambda gives": 'key = lambda: "{k}"\nf(api_key=key())',
    "joined": 'parts = ["{k}"]\nf(api_key="".join(parts))',
    "match": 'match token:\n    case "{k}": pass',
    "default of an option": 'parser.add_argument("--api-key", default="{k}")',
    "patched environment": 'patch.dict(os.environ, {{"X_SECRET": "{k}"}})',
    "environment, in place": 'os.environ |= {{"HF_TOKEN": "{k}"}}',
    "section": 'config.set("openai", "api_key", "{k}")',
    "wrapped": 'Config(openai_api_key=SecretStr("{k}"))',
    "unpacked arguments": 'dr.OpenAI("m", **{{"api_key": "{k}"}})',
    "setattr": 'setattr(x, "api_key", "{k}")',
    "known elsewhere": 'f(api_key="{k}")\nprint("{k}")  # {k}',
    "comment": '# big = dr.Mistral("m", api_key="{k}")',
    "comment of a part": '    # api_key="{k}",\nx = 1',
    "comment, an entry": '# "password": "{k}",',
    "docstring": '"""use api_key={w} here"""',
    "text of an .env": 'load("""\nOPENAI_API_KEY={w}\n""")',
    "json": "json.loads('{{\"api_key\": \"{k}\"}}')",
    "curl": """os.system("curl -H 'Authorization: Bearer {w}' -u me:{w} http://x")""",
    "export": """os.system("export API_KEY={w}; setx MY_API_KEY {w}; tool --api-key {w}")""",
    "address": 'u = "https://me:{w}@host/v1"',
    "user of an address": 'u = "https://{w}@host/v1"',
    "query": 'u = "https://host/?token={w}&page=2"',
    "query, another name": 'u = "https://host/?subscription-key={w}"',
}


@pytest.mark.parametrize("how", HOLDS)
@pytest.mark.parametrize("secret", [KEY, PLAIN], ids=["drawn", "words"])
def test_a_secret_is_found_wherever_the_syntax_tells_it(how: str, secret: str) -> None:
    word = secret.replace(" ", "-")
    source = HOLDS[how].format(k=secret, a=secret[:11], b=secret[11:], w=word)
    kept = without_secrets_of_script(source)
    assert leaks(secret, kept) == leaks(word, kept) == []
    ast.parse(kept)
    assert without_secrets_of_script(kept) == kept, "what was found once is not found again"


FORMS = [
    *("sk-abc123DEF456ghi789", "sk-ant-api03-abc123DEF", "sk-proj-a1b2c3d4", "hf_abcdefghijklmnopqrst", "glpat-ab12cd34ef56", "ghp_a1b2c3d4e5f6"),
    *("npm_abcdefghij0123456789", "github_pat_11ABCDE_xyz", "fw_3ZabcdEF12345", "xoxb-123456789-abcdef", "xoxp-1234-abcd", "AKIAIOSFODNN7EXAMPLE"),
    *("ASIAIOSFODNN7EXAMPLE", "AC" + "0f" * 16, "SK" + "0f" * 16, "AIzaSyA-1234567890abcdef", "gsk_abcdef123456", "r8_abcdefghijklmnop12"),
    *("xai-abcdefghijklmnop12", "eyJhbGciOiJI.eyJzdWIiOiIxMjM0.SflKxwRJSM", "ya29.a0AfH6SM12345", "hooks.slack.com/services/T000/B000/XXXX"),
    *("SG.abcdefghijklmnopqr.stuvwxyzabcdefgh12", "dapi0123456789abcdef01", "sk_live_abcdef0123", "pypi-AgEIcHlwaS5vcmcC12", "GOCSPX-abc123def"),
    *("nvapi-abc123def456", "pplx-abc123def456", "0a1b2c3d4e5f60718293a4b5c6d7e8f9"),
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz",
]


@pytest.mark.parametrize("key", FORMS, ids=lambda k: k[:12])
def test_what_looks_like_a_key_goes_without_being_named(key: str) -> None:
    for source in (f"x = {key!r}", f"f('m', {key!r})", f"print(f'''a {key} b''')", f"x = 1  # {key.splitlines()[0]}7 {key.splitlines()[-1]}"):
        kept = without_secrets_of_script(source)
        assert key not in kept
        assert key.splitlines()[-1] not in kept


KEPT = [
    "df.sort('key').join(other, on='key').select(pl.col('token'), 'password')",
    "rows = sorted(rows, key='name'.strip)",
    "dr.OpenAI('gpt-4o-mini', max_tokens=200, stop=['</s>'], seed=12345678)",
    "dr.scan_hub('org/data', revision='0123456789abcdef0123456789abcdef01234567')",
    "tokenizer(eos_token='</s>', pad_token='<pad>')  # tokens and keys of a dict",
    "key = os.environ['OPENAI_API_KEY']",
    "rows = dr.frame({'a': ['tea for two']})\ncache_key = digest(rows)\ntoken = tokenizer.decode(rows)\nfirst_token = '<s>'",
    '"""Needs OPENAI_API_KEY and a server."""\nllm = llm_of()  # the likeliest token: a word',
    "llm = dr.OpenAI('m', api_key=os.environ.get('OPENAI_API_KEY'), base_url='http://localhost:8000/v1?api-version=2024-02-01')",
    "messages = [{'role': 'user', 'content': f'Sum up {x!r:>10}'}]",
    "x = 'é' + \"ü\"  # ünïcode before f(1)",
    'prompt = """What is\n  a secret: nobody knows."""',
    "headers = {'Accept': 'text/html', 'Content-Type': 'application/json'}",
    "dr.Transformers('meta-llama/Llama-3.3-70B-Instruct-Turbo', model='claude-3-5-sonnet-20241022')",
]


@pytest.mark.parametrize("source", KEPT)
def test_the_rest_of_a_script_stays_to_the_letter(source: str) -> None:
    assert without_secrets_of_script(source) == source


def test_lines_columns_and_letters_around_a_secret_stay() -> None:
    source = "é = 'ü'; f('ß', api_key='x',  n = 1)  # ä\r\nif True:\n\tf(token='''a\nb''')\n"
    assert without_secrets_of_script(source) == "é = 'ü'; f('ß', api_key='***',  n = 1)  # ä\r\nif True:\n\tf(token='***')\n"


@pytest.mark.parametrize("source", ["api_key = 'x", "%env KEY=x", "x = \0", "(" * 1000])
def test_a_script_that_does_not_parse_is_refused(source: str) -> None:
    with pytest.raises(UnreadableScriptError):
        without_secrets_of_script(source)


# What a session keeps


def run(folder: Path, **settings: Any) -> PlanRecord:
    with dr.Session(folder, **settings) as session:
        dr.frame({"t": ["tea"]}).prompt(Echo(), "{t}", into="said").collect()
        (plan,) = session.plans()
    return plan


def as_main(monkeypatch: pytest.MonkeyPatch, **held: Any) -> None:
    main = types.ModuleType("__main__")
    vars(main).update(held)
    monkeypatch.setitem(sys.modules, "__main__", main)


def test_no_script_is_kept_unless_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "label.py").write_text("x = 1\n")
    as_main(monkeypatch, __file__=str(tmp_path / "label.py"))
    assert run(tmp_path / "s").script is None
    assert not (tmp_path / "s" / "scripts").exists()
    assert run(tmp_path / "kept", keep_script=True).script.startswith("label-")


def test_a_script_that_does_not_parse_is_not_kept_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "label.py").write_text(f"api_key = '{KEY}\n")
    as_main(monkeypatch, __file__=str(tmp_path / "label.py"))
    with pytest.warns(UserWarning, match="the script was not kept: it does not parse as Python"):
        plan = run(tmp_path / "s", keep_script=True)
    assert plan.script is None
    assert plan.script_problem.startswith("the script was not kept")
    assert not (tmp_path / "s" / "scripts").exists()


def test_cells_are_read_together_and_one_that_does_not_parse_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_main(monkeypatch, In=["", f"k = '{PLAIN}'", f"%env KEY={KEY}", "llm = dr.OpenAI('m', api_key=k)"])
    plan = run(tmp_path / "s", keep_script=True)
    text = (tmp_path / "s" / "scripts" / plan.script).read_text()
    assert text == (
        "# %%\nk = '***'\n\n# %%\n# a cell that was not kept: it does not parse as Python (SyntaxError)\n\n# %%\nllm = dr.OpenAI('m', api_key=k)\n"
    )
