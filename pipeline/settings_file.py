"""Settings out of a YAML file and `--set a.b=c`, and one line for whatever does not fit."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

S = TypeVar("S", bound=BaseModel)


def load(kind: type[S], folder: Path, name: str, assignments: Iterable[str] = ()) -> S:
    """The settings in `folder`/`name`.yaml, or in the YAML file `name`, with `a.b=c` assignments laid over.

    The file's own name is the setting `name`. Raises ValueError in one line.
    """
    return validated(kind, assigned(_read(folder, name), assignments))


def validated(kind: type[S], values: Mapping[str, Any]) -> S:
    """Settings from plain values."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ValueError("; ".join(_explain(kind, fault) for fault in error.errors()[:3])) from None


def assigned(values: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """`values` with `a.b=c` assignments laid over."""
    laid = dict(values)
    for assignment in assignments:
        _assign(laid, assignment)
    return laid


def names_in(folder: Path) -> list[str]:
    """What the YAML files of a folder are called."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def _read(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"{name}.yaml"
    if not path.exists():
        path = Path(name)
    if not path.is_file():
        raise ValueError(f"no recipe {name!r}: give a YAML file, or one of {', '.join(names_in(folder))}")
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: a recipe is a mapping of stages to settings, not a {type(values).__name__}")
    return {"name": path.stem, **values}


def _assign(values: dict[str, Any], assignment: str) -> None:
    path, sign, text = assignment.partition("=")
    if not sign or not path.strip():
        raise ValueError(f"--set {assignment}: write it as stage.setting=value")
    *parents, leaf = path.strip().split(".")
    place = values
    for parent in parents:
        inner = place.get(parent)
        place[parent] = place = dict(inner) if isinstance(inner, Mapping) else {}
    try:
        place[leaf] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError(f"--set {assignment}: {text!r} is not a YAML value; quote it or close its brackets") from None


def _explain(kind: type[BaseModel], fault: Any) -> str:
    """One line for one of pydantic's errors."""
    path = _path(fault["loc"])
    if not path:  # settings that do not go together
        return str(fault["ctx"]["error"])
    if fault["type"] != "extra_forbidden":
        return f"{path}={fault['input']!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
    *parents, leaf = fault["loc"]
    known = _keys_at(kind, parents)
    near = difflib.get_close_matches(str(leaf), known, n=1, cutoff=0.4)
    hint = f"did you mean {_path([*parents, near[0]])}?" if near else f"known: {', '.join(known)}"
    return f"unknown setting {path}; {hint}"


def _path(location: Iterable[Any]) -> str:
    """As a recipe has it: without the names of classes, with which pydantic tells apart what a setting may be."""
    return ".".join(str(part) for part in location if not str(part)[:1].isupper())


def _keys_at(kind: type[BaseModel], parents: Iterable[Any]) -> list[str]:
    models = [kind]
    for parent in parents:
        chosen = [model for model in models if model.__name__ == parent]
        fields = [model.model_fields[parent] for model in models if parent in model.model_fields]
        models = chosen or [inner for field in fields for inner in _models_in(field.annotation)]
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
