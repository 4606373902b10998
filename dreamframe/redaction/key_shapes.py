"""What keys look like, where nobody said that they are keys: the forms that providers give them, passwords in addresses, `name = value` of a secret's name."""

from __future__ import annotations

import re

from dreamframe.redaction.secret import HARMLESS_QUERY, MASK, is_secret_name

LEFT = r"(?<![A-Za-z0-9])"
KEYS = re.compile(
    rf"{LEFT}(?:sk|pk|rk|or)-(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{{8,}}|{LEFT}(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{{8,}}|{LEFT}hf_[A-Za-z0-9]{{16,}}"
    r"|gh[pousr]_[A-Za-z0-9]{8,}|github_pat_\w{8,}|glpat-[\w-]{8,}|gl[a-z]{2,4}t-[\w-]{16,}|(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{12,}|AIza[\w-]{12,}"
    rf"|xox[a-z]-[\w-]{{8,}}|xapp-[\w-]{{8,}}|{LEFT}gsk_[A-Za-z0-9]{{8,}}|{LEFT}fw_[A-Za-z0-9]{{10,}}|{LEFT}r8_[A-Za-z0-9]{{16,}}|{LEFT}xai-[A-Za-z0-9]{{16,}}"
    rf"|{LEFT}pplx-[A-Za-z0-9]{{8,}}|{LEFT}nvapi-[\w-]{{8,}}|{LEFT}tgp_v1_[\w-]{{8,}}|{LEFT}csk-[A-Za-z0-9]{{8,}}|{LEFT}jina_[A-Za-z0-9]{{16,}}"
    rf"|{LEFT}npm_[A-Za-z0-9]{{16,}}|pypi-[\w-]{{16,}}|dop_v1_[0-9a-f]{{16,}}|{LEFT}dapi[0-9a-f]{{16,}}|{LEFT}lin_api_\w{{8,}}|{LEFT}ntn_\w{{16,}}"
    rf"|{LEFT}ls__?[a-z0-9_]{{16,}}|{LEFT}lsv2_\w{{16,}}|{LEFT}(?:AC|SK)[0-9a-f]{{32}}|{LEFT}SG\.[\w-]{{16,}}\.[\w-]{{16,}}|{LEFT}key-[0-9a-f]{{32}}"
    r"|ya29\.[\w.-]{8,}|GOCSPX-[\w-]{8,}|eyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)*|hooks\.slack\.com/(?:services|workflows)/[\w/]{8,}"
    r"|discord(?:app)?\.com/api/webhooks/[\w/-]{8,}|api\.telegram\.org/bot[\w:-]{8,}|\b\d{8,10}:AA[\w-]{30,}"
    r"|(?i:\b(?:bearer|basic)\s+)(?=[A-Za-z._~+/=-]*\d|[a-z._~+/=-]*[A-Z])[A-Za-z0-9._~+/=-]{8,}"
    r"|-----BEGIN[A-Z ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END[A-Z ]*PRIVATE KEY(?: BLOCK)?-----|$)"
)
URL_PASSWORD = re.compile(r"(?<=://)[^\s/@\"'<>]*:[^\s@\"'<>]+(?=@)|(?<=://)[^\s/@:\"'<>]{16,}(?=@)")
IN_QUERY = re.compile(r"(?<=[?&;])([\w.-]+)=([^&;\s\"'<>#]+)")
NAMED = re.compile(r"([\w-]+)([\"']?\s*(?:=>|[:=])\s*)(\"[^\"\n]*\"|'[^'\n]*'|(?:(?:Bearer|Basic|Token)\s+)?[^\s\"',;)}\]&]+)", re.IGNORECASE)
DRAWN = re.compile(r"(?<![A-Za-z0-9+/_=-])(?=[A-Za-z0-9]*\d[A-Za-z0-9]*\d[A-Za-z0-9]*\d)(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{24,}(?![A-Za-z0-9])")
IN_USE = re.compile(
    r"(?<![\w-])(-u|--user|--[a-z-]*(?:password|token|key|secret|header)|[A-Z][A-Z0-9_]*_(?:KEY|TOKEN|SECRET|PASSWORD))([ =]+)(\"[^\"]*\"|'[^']*'|[^\s\"';]+)"
)


def without_keys(text: str) -> str:
    """Stars for what has the form of a key, and for passwords in addresses.

    >>> without_keys("curl https://me:pw@host/v1 with sk-abcdefgh1234")
    'curl https://***@host/v1 with ***'
    """
    return URL_PASSWORD.sub(MASK, KEYS.sub(MASK, text))


def without_secrets(text: str) -> str:
    """The same for a text in which a secret may stand in any way: also in an address' query, behind a secret's name, or as a long row of letters and digits.

    >>> without_secrets("export API_KEY=abc; wget 'http://host/?token=abc&page=2'")
    "export API_KEY=***; wget 'http://host/?token=***&page=2'"
    """
    text = IN_QUERY.sub(lambda m: f"{m[1]}={MASK}" if is_query_secret(m[1], m[2]) else m[0], without_keys(text))
    text = NAMED.sub(_named, text)
    return DRAWN.sub(MASK, IN_USE.sub(_in_use, text))


def is_query_secret(name: str, value: str) -> bool:
    """Whether this is a secret in an address' query."""
    named = is_secret_name(name) or name.lower() in ("key", "code", "subscription-key", "access_token", "id_token")
    drawn = len(value) >= 16 and any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return named or (drawn and name.lower() not in HARMLESS_QUERY)


def _named(found: re.Match[str]) -> str:
    name, sign, value = found.groups()
    is_prose = ":" in sign and value[0] not in "\"'" and not re.search(r"\d|\s", value)  # "a secret: nobody knows"
    is_prose |= not any(c.isalnum() for c in value)
    return f"{name}{sign}{_quoted(value)}" if is_secret_name(name) and not is_prose else found[0]


def _in_use(found: re.Match[str]) -> str:
    name, between, value = found.groups()
    is_prose = not name.startswith("-") and "=" not in between and not re.search(r"\d|[\"'-]", value)  # "needs OPENAI_API_KEY and a server"
    return found[0] if is_prose else f"{name}{between}{MASK}"


def _quoted(value: str) -> str:
    return f"{value[0]}{MASK}{value[0]}" if value[0] in "\"'" else MASK
