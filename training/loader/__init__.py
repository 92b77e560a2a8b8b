"""Batches for training, streamed from a dataset's shards: `open_stream(url, Loader(), Share(batch=4)).batches()`."""

from training.loader.batch import Batch, Fault
from training.loader.settings import Augmentation, Loader, Reference, Sampling, Window
from training.loader.stream import Share, State, Stream, open_stream

__all__ = [
    "Augmentation",
    "Batch",
    "Fault",
    "Loader",
    "Reference",
    "Sampling",
    "Share",
    "State",
    "Stream",
    "Window",
    "open_stream",
]
