"""Samples, shards and datasets: what every other room speaks. See README.md beside this file."""

from shards.dataset import Dataset, View
from shards.entry import decoder
from shards.rle import Box, Rle, Size
from shards.sample import SCHEMA, InvalidSample, Sample, Track
from shards.storage import Held, Missing, Storage, StorageError
from shards.verdicts import Decision, Verdict, Verdicts, decisions, verdict
from shards.writer import DatasetInfo, ShardInfo, write_info, write_shard

__all__ = [
    "SCHEMA",
    "Box",
    "Dataset",
    "DatasetInfo",
    "Decision",
    "Held",
    "InvalidSample",
    "Missing",
    "Rle",
    "Sample",
    "ShardInfo",
    "Size",
    "Storage",
    "StorageError",
    "Track",
    "Verdict",
    "Verdicts",
    "View",
    "decisions",
    "decoder",
    "verdict",
    "write_info",
    "write_shard",
]
