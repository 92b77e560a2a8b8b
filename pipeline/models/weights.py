"""Weights in files: read, held against the network they are for, and named by their digest."""

import hashlib
import pickle
import struct
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")

NO_PICKLE = (pickle.UnpicklingError, EOFError, RuntimeError, LookupError, ValueError, AttributeError, struct.error)
"""What torch raises of bytes that are none of its files, each by how far it reads into them."""


def load_weights(network: "nn.Module", path: str | Path, *, mend: str, leftovers: frozenset[str] = frozenset()) -> None:
    """Fills `network` with the weights in `path`: every tensor by its name and shape, in the network's precision.

    `path` is a .safetensors file, or what `torch.save` wrote of a state dict, bare or under "model"; names with or
    without the "module." of a data-parallel wrapper. `leftovers` names tensors of the training that the network has no
    use for.
    Raises `ValueError` in one line that ends with `mend`.
    """
    weights = {name: tensor for name, tensor in _read(path, mend).items() if name not in leftovers}
    _check(path, _shapes(weights), network, mend)
    network.load_state_dict(weights)


def check_weights(
    network: "nn.Module", path: str | Path, *, mend: str, leftovers: frozenset[str] = frozenset()
) -> None:
    """As `load_weights`, but only looks whether they fit: of .safetensors it reads no more than the header."""
    shapes = _header(path, mend) if _is_safetensors(path) else _shapes(_read(path, mend))
    _check(path, {name: shape for name, shape in shapes.items() if name not in leftovers}, network, mend)


def sha256(path: str | Path) -> str:
    """Of the file's bytes; read again only once the file has changed. `ValueError` where there is none."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file of weights; fetch it, or set the path to where it lies")
    status = Path(path).stat()
    return _sha256(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: str, _size: int, _changed: int) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read(path: str | Path, mend: str) -> "dict[str, Tensor]":
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file of weights; {mend}")
    return _bare(_safetensors(path, mend) if _is_safetensors(path) else _pickled(path, mend))


def _is_safetensors(path: str | Path) -> bool:
    return Path(path).suffix == ".safetensors"


def _bare(named: dict[str, T]) -> dict[str, T]:
    return {name.removeprefix("module."): value for name, value in named.items()}


def _shapes(weights: "Mapping[str, Tensor]") -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def _header(path: str | Path, mend: str) -> dict[str, tuple[int, ...]]:
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file of weights; {mend}")
    try:
        with safe_open(path, framework="pt") as file:
            return _bare({name: tuple(file.get_slice(name).get_shape()) for name in file.keys()})  # noqa: SIM118
    except SafetensorError as error:
        raise _no_weights(path, error, mend) from error


def _safetensors(path: str | Path, mend: str) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise _no_weights(path, error, mend) from error


def _pickled(path: str | Path, mend: str) -> "dict[str, Tensor]":
    import torch

    try:
        # Weights only: a checkpoint comes from somebody else, and a pickle may run anything.
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except NO_PICKLE as error:
        raise _no_weights(path, error, mend) from error
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ValueError(f"{path}: holds no tensors by name; {mend}")
    return {str(name): tensor for name, tensor in content.items()}


def _no_weights(path: str | Path, error: Exception, mend: str) -> ValueError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ValueError(f"{path}: no file of weights ({reason}); {mend}")


def _check(path: str | Path, found: Mapping[str, tuple[int, ...]], network: "nn.Module", mend: str) -> None:
    expected = _shapes(network.state_dict())
    missing, foreign = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or foreign:
        raise ValueError(
            f"{path}: weights of another network: {len(missing)} tensors missing {missing[:2]}, "
            f"{len(foreign)} foreign {foreign[:2]}; {mend}"
        )
    for name, needed in expected.items():
        if found[name] != needed:
            raise ValueError(f"{path}: weights of another size: {name} is {found[name]}, not {needed}; {mend}")
