"""Settings of a model in Hugging Face's layout: which one, in which state, on what device and at what precision."""

import hashlib
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pipeline.models.weights import sha256
from pipeline.stage import Settings

if TYPE_CHECKING:
    import torch

Device: TypeAlias = str  # "auto", or torch's name of a device
Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]


class Pretrained(Settings):
    """A model by its folder or its name on the hub, downloaded or taken from the hub's cache.

    Set `device` and `dtype` where answers must not depend on the machine: "auto" takes the GPU if there is one, and
    there bfloat16 if it has that, else float32.
    """

    model: str
    revision: str | None = None  # of a name on the hub; None is its newest
    device: Device = "auto"
    dtype: Precision = "auto"

    def fingerprint(self) -> str:
        """transformers' version, and the hub's commit or the sha256 of a folder's files."""
        folder = Path(self.model)
        state = f"sha256 {_folder_sha256(folder)}" if folder.is_dir() else f"commit {self.commit()}"
        return f"transformers {importlib.metadata.version('transformers')}, {state}"

    def commit(self) -> str | None:
        """The hub's commit that `revision` names now, None for a folder. Raises `OSError` where it cannot be found."""
        from transformers.utils.hub import cached_file, extract_commit_hash

        if Path(self.model).is_dir():
            return None
        return extract_commit_hash(cached_file(self.model, "config.json", revision=self.revision), None)

    def load(self, kind: Any, **how: Any) -> Any:
        """A transformers class's object from this model: its own commit, whatever is pushed meanwhile."""
        return kind.from_pretrained(self.model, revision=self.commit() or "main", **how)

    def load_network(self, kind: Any) -> Any:
        """A network of a transformers class, ready for inference on its device."""
        device = chosen_device(self.device)
        return self.load(kind, dtype=self._dtype(device)).eval().to(device)

    def _dtype(self, device: str) -> "torch.dtype":
        import torch

        if self.dtype != "auto":
            kind: torch.dtype = getattr(torch, self.dtype)
            return kind
        on_gpu = torch.device(device).type == "cuda"
        return torch.bfloat16 if on_gpu and torch.cuda.is_bf16_supported() else torch.float32


def _folder_sha256(folder: Path) -> str:
    """Of all files' names and digests; hidden ones do not count."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    shown = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    return hashlib.sha256("\n".join(f"{name} {sha256(folder / name)}" for name in shown).encode()).hexdigest()


def chosen_device(device: Device) -> str:
    """The device that "auto" stands for on this machine; any other as it is."""
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"
