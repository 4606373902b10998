"""JSON schemas as providers take them: no words they refuse, what is optional null where it is left out; and the instruction for those that take none.

The schema of a question always has an object at its root.
"""

from __future__ import annotations

from typing import Any

INSTRUCTION = "Answer with JSON only, without any other text. It must fit this JSON schema:\n"
DROPPED = ("default", "discriminator", "$schema", "examples")


def instruction(schema_text: str) -> str:
    """What to tell a model whose server has no constrained mode."""
    return INSTRUCTION + schema_text


def strict(schema: Any) -> Any:
    """The schema in the dialect of strict modes: every property required, no others allowed, unions as anyOf, no defaults. A property that may be left
    out may be null instead, which is read as left out: so that the model need not invent it.

    >>> strict({"type": "object", "properties": {"a": {"type": "integer", "default": 1}}})["required"]
    ['a']
    >>> strict({"type": "object", "properties": {"a": {"type": "integer"}}})["properties"]
    {'a': {'type': ['integer', 'null']}}
    """
    if isinstance(schema, list):
        return [strict(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:  # a reference stands alone
        return {"$ref": schema["$ref"]}
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs", "definitions"):
            out[key] = {name: strict(s) for name, s in value.items()}
        elif key == "oneOf":
            out["anyOf"] = strict(value)
        elif key == "allOf" and len(value) == 1:
            out.update(strict(value[0]))
        elif key in ("enum", "const", "required"):
            out[key] = value
        elif key not in DROPPED:
            out[key] = strict(value)
    if out.get("type") == "object" and "properties" in out:
        needed = schema.get("required", ())
        out["properties"] = {name: s if name in needed else nullable(s) for name, s in out["properties"].items()}
        out["required"] = list(out["properties"])
        out.setdefault("additionalProperties", False)
    return out


def nullable(schema: Any) -> Any:
    """The schema, or null."""
    if not isinstance(schema, dict) or not schema:
        return schema  # anything
    kinds, options = schema.get("type"), schema.get("anyOf")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "null" in kinds or (options and any(isinstance(o, dict) and o.get("type") == "null" for o in options)):
        return schema
    if options and not schema.keys() - {"anyOf", "description"}:
        return {**schema, "anyOf": [*options, {"type": "null"}]}
    if None in kinds or "object" in kinds or "const" in schema or options:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [*kinds, "null"], **({"enum": [*schema["enum"], None]} if "enum" in schema else {})}


def is_strictable(schema: Any) -> bool:
    """Whether a strict mode can take it: no object with open fields, none that needs what it does not name, nothing that must fit several schemas."""
    if isinstance(schema, list):
        return all(is_strictable(s) for s in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" and (schema.get("additionalProperties") not in (None, False) or "properties" not in schema):
        return False
    if "properties" in schema and not set(schema.get("required", ())) <= set(schema["properties"]):
        return False
    if (several := schema.get("allOf")) and (len(several) > 1 or (isinstance(several[0], dict) and several[0].keys() & schema.keys())):
        return False
    inner = {k: v for k, v in schema.items() if k not in ("enum", "const", "default", "required")}
    parts = [list(v.values()) if k in ("properties", "$defs", "definitions") else v for k, v in inner.items()]
    return all(is_strictable(p) for p in parts if isinstance(p, (dict, list)))
