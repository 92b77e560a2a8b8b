"""How many records a job may have: what the stage asks for, less where the GPU's memory was too small for that."""

from typing import Any


class Batches:
    """Remembers, for each stage and size of clip, at how many records memory ran out."""

    def __init__(self) -> None:
        self._most: dict[int, dict[int, int]] = {}  # stage -> bucket -> records

    def most(self, stage: int, bucket: int, asked: int) -> int:
        """Records a job may have; what was too much for a smaller clip is too much for a larger one."""
        if stage not in self._most:
            return asked
        return min([asked, *(most for size, most in self._most[stage].items() if size <= bucket)])

    def ran_out(self, stage: int, bucket: int, passed: int) -> None:
        """A job of clips up to `bucket` went through only `passed` records at a time."""
        known = self._most.setdefault(stage, {})
        known[bucket] = max(1, min(passed, known.get(bucket, passed)))


def bucket(record: Any) -> int:
    """Size of a clip in powers of two of its pixels over all frames; 0 where it is not known."""
    if not hasattr(record, "width"):
        return 0
    return int(record.width * record.height * record.num_frames).bit_length()
