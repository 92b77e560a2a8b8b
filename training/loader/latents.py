"""Latents on disk: what the VAE made of a clip's window and subject image, read from then on in their place."""

import contextlib
import hashlib
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from shards.entry import canonical_json
from training.loader.clips import Clip
from training.loader.settings import Loader


@dataclass(frozen=True, kw_only=True, slots=True)
class Latents:
    """One clip, encoded."""

    frames: NDArray[np.float16]  # [F, C, h, w]
    subject: NDArray[np.float16]  # [C, h, w]
    boxes: NDArray[np.float32]  # [F, 4], as a batch has them
    present: NDArray[np.bool_]  # [F]


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentCache:
    """A folder of latents on a disk that all processes see.

    A name tells all that decides an entry: the clip's content, how the loader shows it, and what encodes it. So nothing
    in it is ever stale, and one folder may serve many runs.
    """

    folder: Path
    loader: Loader  # frozen: else no epoch would show what another one did
    encoder: str  # digest of the VAE

    def name(self, clip: Clip) -> str:
        loader = self.loader.model_dump(mode="json", include={"seed", "height", "width", "window", "reference"})
        decides = [clip.key, clip.sha256, clip.track, clip.stride, loader, self.encoder]
        if clip.redrawn is not None:
            decides.append(clip.redrawn.to_text())
        return hashlib.sha256(canonical_json(decides)).hexdigest()[:40]

    def read(self, name: str) -> Latents | None:
        """None where it is not there, or was cut off by a machine that went down."""
        try:
            return Latents(**load_file(self._path(name)))
        except (FileNotFoundError, SafetensorError, TypeError):
            return None

    def write(self, name: str, latents: Latents) -> None:
        """Whole or not at all for who reads; not synced, for what is lost is encoded again."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{name}.{secrets.token_hex(6)}.aside")
        try:
            save_file({key: np.ascontiguousarray(value) for key, value in asdict(latents).items()}, aside)
            aside.replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                aside.unlink()

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.safetensors"
