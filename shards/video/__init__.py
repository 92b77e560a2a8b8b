"""Video files in and out: what one holds (`probe`, `glance`), its frames (`frames`), clips (`encode`, `transcode`)."""

from shards.video.clip import Transcoded
from shards.video.encoding import encode
from shards.video.glance import Glance, glance
from shards.video.images import from_images
from shards.video.reading import VideoInfo, frames, probe
from shards.video.source import Source, Unreadable
from shards.video.stored import StoredClip, stored_clip
from shards.video.transcoding import EncoderName, best_encoder, encoder_version, transcode

__all__ = [
    "EncoderName",
    "Glance",
    "Source",
    "StoredClip",
    "Transcoded",
    "Unreadable",
    "VideoInfo",
    "best_encoder",
    "encode",
    "encoder_version",
    "frames",
    "from_images",
    "glance",
    "probe",
    "stored_clip",
    "transcode",
]
