"""Settings of a model in Hugging Face's layout: which one, in which state, on what device and at what precision."""

import hashlib
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from pydantic import model_validator

from pipeline.models import store
from pipeline.models.catalog import CATALOG, PACKAGED, Own, Repository, Weights
from pipeline.models.weights import sha256
from pipeline.stage import Settings

if TYPE_CHECKING:
    import torch

Device: TypeAlias = str  # "auto", or torch's name of a device
Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]

EMBEDDED = "embedded"
"""What `model` says for the small model that comes with this package."""


class Pretrained(Settings):
    """A model by its folder or its name on the hub, from the models folder or the hub's cache.

    Set `device` and `dtype` where answers must not depend on the machine: "auto" takes the GPU if there is one, and
    there bfloat16 if it has that, else float32.
    """

    packaged: ClassVar[str | None] = None  # the catalog's name of the model that "embedded" stands for

    model: str
    revision: str | None = None  # of a name on the hub; None is the catalog's commit, or the newest of other models
    device: Device = "auto"
    dtype: Precision = "auto"

    @model_validator(mode="after")
    def _has_an_embedded_one(self) -> "Pretrained":
        if self.model == EMBEDDED and self.packaged is None:
            raise ValueError("no embedded model of this kind: name a folder or one of the hub")
        return self

    def weights(self) -> tuple[Weights, ...]:
        """What it loads."""
        if self.model == EMBEDDED and self.packaged:
            return (CATALOG[self.packaged],)
        folder = Path(self.model)
        if folder.is_dir() or folder.is_absolute():
            return (Own(name=self.model, model="a folder of the user's own", licence="the user's own", path=folder),)
        return (self._repository(),)

    def fingerprint(self) -> str:
        """transformers' version, and the hub's commit or the sha256 of a folder's files."""
        folder = self._folder()
        state = f"commit {self.commit()}" if folder is None else f"sha256 {_folder_sha256(folder)}"
        return f"transformers {importlib.metadata.version('transformers')}, {state}"

    def commit(self) -> str | None:
        """The hub's commit that `revision` names now, None for a folder. Raises `OSError` where it cannot be found."""
        from transformers.utils.hub import cached_file, extract_commit_hash

        if self._folder() is not None:
            return None
        found = self._repository()
        cache = store.hub_cache(found)
        return extract_commit_hash(
            cached_file(self.model, "config.json", revision=found.revision, cache_dir=cache), None
        )

    def load(self, kind: Any, **how: Any) -> Any:
        """A transformers class's object from this model: its own commit, whatever is pushed meanwhile."""
        folder = self._folder()
        if folder is not None:
            return _quietly(kind, str(folder), **how)
        cache = store.hub_cache(self._repository())
        return _quietly(kind, self.model, revision=self.commit() or "main", cache_dir=cache, **how)

    def check(self) -> None:
        """Looks at the files and, of a small model, holds them against the network. Raises `ValueError` for a fault."""
        from pipeline.models.fitting import check_pretrained

        folder = self._folder() or store.place(self._repository())
        if folder is None:
            raise ValueError(f"{self.model} is not on this machine; run `dreamreel models fetch {self.model}`")
        check_pretrained(folder, self.network_class())

    def network_class(self) -> Any:
        """Of transformers."""
        raise NotImplementedError(f"{type(self).__name__} names no class of transformers")

    def load_network(self) -> Any:
        """The network, ready for inference on its device."""
        device = chosen_device(self.device)
        return self.load(self.network_class(), dtype=self._dtype(device)).eval().to(device)

    def _repository(self) -> Repository:
        return store.repository(self.model, self.revision)

    def _folder(self) -> Path | None:
        if self.model == EMBEDDED and self.packaged:
            return PACKAGED / self.packaged
        return Path(self.model) if Path(self.model).is_dir() else None

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


def _quietly(kind: Any, place: str, **how: Any) -> Any:
    """`from_pretrained` without its bar, which would be drawn into the build's own."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return kind.from_pretrained(place, **how)
