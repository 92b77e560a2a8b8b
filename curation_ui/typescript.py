"""The models of the wire as TypeScript, which the page is checked against; `python -m curation_ui.typescript`."""

import types
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from curation_ui import tool_wire, wire

FILE = Path(__file__).parent / "web" / "src" / "wire.ts"

_PLAIN = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null", Any: "unknown"}


def typescript() -> str:
    """One interface for each model, in their order; what has a default may be left out."""
    models = [model for module in (wire, tool_wire) for model in vars(module).values() if _is_of(module, model)]
    head = "/** What page and server say to each other, made from `wire.py` and `tool_wire.py` by `make page`. */\n"
    return "\n".join([head, *map(_interface, models)])


def _is_of(module: types.ModuleType, model: object) -> TypeGuard[type[wire.Wire]]:
    """A model that the module defines."""
    if not isinstance(model, type) or not issubclass(model, wire.Wire) or model is wire.Wire:
        return False
    return model.__module__ == module.__name__


def _interface(model: type[wire.Wire]) -> str:
    lines = [
        f"  {name}{'' if field.is_required() else '?'}: {_type(field.annotation)};"
        for name, field in model.model_fields.items()
    ]
    return "\n".join([f"export interface {model.__name__} {{", *lines, "}", ""])


def _type(hint: Any) -> str:
    """A Python type as TypeScript writes it."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    if isinstance(hint, type) and issubclass(hint, wire.Wire):
        return hint.__name__
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return " | ".join(f"'{word}'" for word in inner)
    if origin in (Union, types.UnionType):
        return " | ".join(_type(one) for one in inner)
    if origin is list:
        return f"({_type(inner[0])})[]" if "|" in _type(inner[0]) else f"{_type(inner[0])}[]"
    if origin is tuple:
        return f"[{', '.join(map(_type, inner))}]"
    if origin is dict:
        return f"Record<string, {_type(inner[1])}>"
    raise TypeError(f"no TypeScript is known for {hint!r}; teach it to curation_ui.typescript")


if __name__ == "__main__":
    FILE.write_text(typescript())
