"""Whether what lies in a folder of Hugging Face's layout is whole, and whether it is of the network it is for."""

from pathlib import Path
from typing import Any

from pipeline.models.store import size

LOADED = 2 << 30
"""Bytes up to which a model is loaded to see whether it fits; a larger one's files are looked at only."""


def check_pretrained(folder: Path, kind: Any) -> None:
    """Raises `ValueError` where a file of tensors is torn, or holds others than those of the class `kind`."""
    from safetensors import SafetensorError, safe_open

    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except SafetensorError as error:
            raise ValueError(f"{path}: no file of weights ({error}); fetch it again") from error
    if size(folder) <= LOADED:
        _check_names(folder, kind)


def _check_names(folder: Path, kind: Any) -> None:
    _, report = kind.from_pretrained(str(folder), output_loading_info=True)
    missing, other = sorted(report["missing_keys"]), sorted(map(str, report["mismatched_keys"]))
    if missing or other:
        raise ValueError(
            f"{folder}: weights of another network: {len(missing)} tensors missing {missing[:2]}, "
            f"{len(other)} of another size {other[:2]}; fetch it again"
        )
