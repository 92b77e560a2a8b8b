"""Weights in files: read, held against the network they are for, and named by their digest."""

import hashlib
import pickle
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def load_weights(network: "nn.Module", path: str | Path, *, mend: str, leftovers: frozenset[str] = frozenset()) -> None:
    """Fills `network` with the weights in `path`: every tensor by its name and shape, in the network's precision.

    `path` is a .safetensors file, or what `torch.save` wrote of a state dict, bare or under "model"; names with or
    without the "module." of a data-parallel wrapper. `leftovers` names tensors of the training that the network has no
    use for.
    Raises `ValueError` in one line that ends with `mend`.
    """
    weights = _read(path, mend)
    weights = {name: tensor for name, tensor in weights.items() if name not in leftovers}
    _check(path, weights, network.state_dict(), mend)
    network.load_state_dict(weights)


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
    weights = _safetensors(path, mend) if Path(path).suffix == ".safetensors" else _pickled(path, mend)
    return {name.removeprefix("module."): tensor for name, tensor in weights.items()}


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
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise _no_weights(path, error, mend) from error
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ValueError(f"{path}: holds no tensors by name; {mend}")
    return {str(name): tensor for name, tensor in content.items()}


def _no_weights(path: str | Path, error: Exception, mend: str) -> ValueError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ValueError(f"{path}: no file of weights ({reason}); {mend}")


def _check(path: str | Path, weights: "Mapping[str, Tensor]", expected: "Mapping[str, Tensor]", mend: str) -> None:
    missing, foreign = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if missing or foreign:
        raise ValueError(
            f"{path}: weights of another network: {len(missing)} tensors missing {missing[:2]}, "
            f"{len(foreign)} foreign {foreign[:2]}; {mend}"
        )
    for name, tensor in expected.items():
        if weights[name].shape != tensor.shape:
            found, needed = tuple(weights[name].shape), tuple(tensor.shape)
            raise ValueError(f"{path}: weights of another size: {name} is {found}, not {needed}; {mend}")
