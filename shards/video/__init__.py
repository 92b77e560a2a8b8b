"""Video files in and out: what a file holds (`probe`), its frames (`frames`), H.264 clips (`encode`, `transcode`)."""

from shards.video.encoding import encode
from shards.video.reading import VideoInfo, frames, probe
from shards.video.source import Source, Unreadable

__all__ = ["Source", "Unreadable", "VideoInfo", "encode", "frames", "probe"]
