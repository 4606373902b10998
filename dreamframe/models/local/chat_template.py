"""Chat templates: those over `messages`, and those of one prompt, such as `### Instruction:\\n{{prompt}}\\n\\n### Response:\\n`."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from dreamframe.errors import SettingError

TAG = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
PROBES = {"system": "qzsystemzq", "user": "qzuserzq", "assistant": "qzassistantzq"}  # what a template is tried with

# A template of one prompt as a template over messages. {{ '' }} keeps the newlines beside the tags.
ANSWER = "{%% else %%}{%% generation %%}{{ message['content'] + eos_token }}{%% endgeneration %%}{%% endif %%}{%% endfor %%}"
WRAPPED = (
    "{%% for message in messages %%}{%% if message['role'] == 'user' %%}{%% set prompt = message['content'] %%}{{ '' }}%s{{ '' }}"
    "{%% elif message['role'] == 'system' %%}{{ message['content'] + '\\n\\n' }}" + ANSWER
)
WITH_SYSTEM = (  # it says itself where the system prompt goes: before the first prompt of a chat
    "{%% set told = namespace(system='') %%}"
    "{%% for message in messages %%}{%% if message['role'] == 'user' %%}"
    "{%% set prompt = message['content'] %%}{%% set system_prompt = told.system %%}{{ '' }}%s{{ '' }}{%% set told.system = '' %%}"
    "{%% elif message['role'] == 'system' %%}"
    "{%% set told.system = (told.system + '\\n\\n' if told.system else '') + message['content'] %%}" + ANSWER
)

CLOCK = re.compile(r"""\bstrftime_now\s*\(\s*(['"])(.*?)\1\s*\)""")
DAY = datetime(2024, 7, 26)  # the day that Llama's own template tells where it finds no clock
NAMES = {"%A": "Friday", "%a": "Fri", "%B": "July", "%b": "Jul"}  # in English, whatever the locale


def chat_template(template: str) -> str:
    """A template over `messages` as it is; one over `prompt` made into one, so that a model is asked as it was trained.

    >>> chat_template("{{ messages[0]['content'] }}")
    "{{ messages[0]['content'] }}"
    >>> "for message in messages" in chat_template("Q: {{prompt}} A:")
    True
    """
    words = read_in(template)
    if "messages" in words:
        return template
    return (WITH_SYSTEM if "system_prompt" in words else WRAPPED) % template


def without_clock(template: str) -> str:
    """A template that tells the model the day, telling it the same one always: a question that says another day tomorrow is no longer the one that its
    answer is kept for.

    >>> without_clock("Today is {{ strftime_now('%d %b %Y') }}.")
    "Today is {{ '26 Jul 2024' }}."
    """

    def told(call: re.Match[str]) -> str:
        form = re.sub("|".join(NAMES), lambda found: NAMES[found.group()], call.group(2))
        return repr(DAY.strftime(form))

    return CLOCK.sub(told, template)


def read_in(template: str) -> set[str]:
    """The names that a template reads in its tags."""
    return {word for tag in TAG.findall(template) for word in re.findall(r"\w+", tag)}


def given_template(template: Any, who: str) -> str | None:
    """The template of a setting as one over messages. Raises SettingError for one that cannot show the prompt to the model."""
    if template is None:
        return None
    if not isinstance(template, str) or not template.strip():
        raise SettingError(f"{who}: chat_template={template!r} is not a template; give a text, or leave it out for the model's own.")
    if not read_in(template) & {"messages", "prompt", "raise_exception"}:
        raise SettingError(f"{who}: chat_template= reads neither `messages` nor `prompt`, so the model would never see the prompt: {template[:120]!r}")
    return chat_template(template)


def template_of(tokenizer: Any, given: str | None, who: str) -> str | None:
    """The template that a model is asked with: the given one, or its own. Raises SettingError for one that leaves out the prompt."""
    own = getattr(tokenizer, "chat_template", None)
    template = given or (own.get("default") if isinstance(own, dict) else own)
    if template is not None and "user" in lost(tokenizer, template, "user"):
        raise SettingError(f"{who}: the chat template leaves out the prompt, so every row would be asked the same: {template[:120]!r}. Give another one.")
    return template and without_clock(template)


def lost(tokenizer: Any, template: str, *roles: str) -> frozenset[str]:
    """Those of the roles whose text a template leaves out, told by trying; none where it refuses to be tried."""
    messages = [{"role": role, "content": PROBES[role]} for role in roles]
    try:
        text = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, add_generation_prompt=roles[-1] == "user")
    except Exception:  # noqa: BLE001  a template is a program of the model's maker; what it refuses, it says when it is used
        return frozenset()
    seen = "".join(text.casefold().split())
    return frozenset(role for role in roles if PROBES[role] not in seen)


def drops_system(tokenizer: Any, template: str | None) -> bool:
    """Whether a template takes a system prompt and says nothing of it to the model."""
    return template is not None and "system" in lost(tokenizer, template, "system", "user")


def closing_token(tokenizer: Any, template: str) -> str | None:
    """The token of its own with which a template closes an answer, told by trying; None where it closes with none, or refuses to be tried."""
    messages = [{"role": role, "content": PROBES[role]} for role in ("user", "assistant")]
    try:
        text = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False)
    except Exception:  # noqa: BLE001  as above
        return None
    after = text.rpartition(PROBES["assistant"])[2].lstrip() if PROBES["assistant"] in text else ""
    own = [token.content for token in tokenizer.added_tokens_decoder.values()]
    return max((token for token in own if token and after.startswith(token)), key=len, default=None)
