"""Batches for training, streamed from a dataset's shards: `open_stream(url, Loader(), Share(batch=4)).batches()`."""

from training.loader.batch import Batch, Fault
from training.loader.latents import LatentCache, Latents
from training.loader.settings import Augmentation, Loader, Reference, Sampling, Window
from training.loader.state import Share, State
from training.loader.stream import Stream, open_stream

__all__ = [
    "Augmentation",
    "Batch",
    "Fault",
    "LatentCache",
    "Latents",
    "Loader",
    "Reference",
    "Sampling",
    "Share",
    "State",
    "Stream",
    "Window",
    "open_stream",
]
