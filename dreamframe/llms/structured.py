"""JSON schemas as providers take them: nothing optional, no words they refuse; and the instruction for those that take none.

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
    """The schema in the dialect of strict modes: every property required, no others allowed, unions as anyOf, no defaults.

    >>> strict({"type": "object", "properties": {"a": {"type": "integer", "default": 1}}})["required"]
    ['a']
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
        out["required"] = list(out["properties"])
        out.setdefault("additionalProperties", False)
    return out


def is_strictable(schema: Any) -> bool:
    """Whether a strict mode can take it: no object with open fields."""
    if isinstance(schema, list):
        return all(is_strictable(s) for s in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" and (schema.get("additionalProperties") not in (None, False) or "properties" not in schema):
        return False
    parts = [list(v.values()) if k in ("properties", "$defs") else v for k, v in schema.items() if k not in ("enum", "const", "default", "required")]
    return all(is_strictable(p) for p in parts if isinstance(p, (dict, list)))
