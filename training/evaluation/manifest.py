"""What is to be measured: a manifest with a line for each video, of this project or of another system.

A suite is a manifest before its videos are there.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.stage import Settings

FORMS = (
    'one JSON object a line: {"video": FILE, "prompt": TEXT, "noun": WORD, "subject": IMAGE, "boxes": FILE or OBJECT}, '
    "or Peekaboo's list of records"
)


class Entry(Settings):
    """One generated video and what it was asked to show. What is not given costs the metrics that need it."""

    video: str  # a file that FFmpeg reads, or a folder of images; as from the folder of videos
    prompt: str | None = None
    noun: str | None = None  # what the detector is asked for
    subject: str | None = None  # image of the subject; as from the manifest's folder, as the two that follow
    mask: str | None = None  # image whose light part is the subject: what lies around it is made blank
    boxes: str | dict[str, Any] | None = None  # see `readers`
    seed: int = 0  # of the noise that it is, or was, generated from


def read_manifest(path: str | Path) -> list[Entry]:
    """Raises `ValueError` that names the line where there is none, or one that cannot be understood."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such manifest; write {FORMS}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: no text; a manifest is {FORMS}") from None
    if text.lstrip().startswith("["):
        return [_peekaboo(record, f"{path}, record {number}") for number, record in enumerate(_json(text, str(path)))]
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not lines:
        raise ValueError(f"{path}: names no video; write {FORMS}")
    return [_entry(_json(line, f"{path}, line {number}"), f"{path}, line {number}") for number, line in lines]


def write_manifest(path: Path, entries: list[Entry]) -> None:
    lines = [entry.model_dump_json(exclude_none=True) for entry in entries]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _peekaboo(record: Any, where: str) -> Entry:
    """A record of Peekaboo's evaluation sets: id, caption, subject, and 24 boxes in shares of the frame."""
    if not isinstance(record, dict) or not {"id", "caption", "subject", "bboxes"} <= record.keys():
        raise ValueError(f"{where}: lacks id, caption, subject or bboxes; a manifest is {FORMS}")
    said = {"video": f"{record['id']}.mp4", "prompt": record["caption"], "noun": record["subject"]}
    return _entry({**said, "boxes": {"boxes": record["bboxes"]}}, where)


def _entry(said: Any, where: str) -> Entry:
    try:
        return Entry.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "it"
        raise ValueError(f"{where}: {name}: {first['msg']}; a manifest is {FORMS}") from None


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: no JSON ({error}); a manifest is {FORMS}") from None
