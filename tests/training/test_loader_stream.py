"""A stream is the same whoever reads it, goes on where it was with any topology, and outlives what cannot be read."""

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from shards import Dataset, Storage, verdict
from shards.repack import Settings, repack
from shards.verdicts import Action, Redrawn
from tests.training.conftest import CLIPS
from training.loader import Batch, Loader, Sampling, Share, State, Stream, Window, open_stream
from training.loader.rooms import in_use
from training.loader.stream import ATTEMPTS

WHOLE = 6  # clips of a global batch
SMALL = Loader(height=24, width=40, window=Window(num_frames=5), workers=0, timeout=60, patience=1)


def opened(folder: Path | str, share: Share | None = None, state: State | None = None, **changes: Any) -> Stream:
    return open_stream(str(folder), SMALL.model_copy(update=changes), share or Share(batch=WHOLE), state)


def rows(batch: Batch) -> Iterator[tuple[Any, ...]]:
    """Each clip of a batch, for comparison."""
    for n, key in enumerate(batch.keys):
        tensors = (batch.frames, batch.boxes, batch.present, batch.subjects, batch.noise_seeds)
        yield key, batch.captions[n], batch.nouns[n], *(tensor[n].numpy().tobytes() for tensor in tensors)


def read(streams: list[Stream], batches: int) -> list[tuple[Any, ...]]:
    """The clips of the first global batches in the order of the stream; the streams are those of all ranks."""
    ranks = [list(islice(stream.batches(), batches)) for stream in streams]
    return [row for parts in zip(*ranks, strict=True) for batch in parts for row in rows(batch)]


def ranks(folder: Path, world: int, state: State | None = None, **changes: Any) -> list[Stream]:
    return [opened(folder, Share(batch=WHOLE // world, rank=r, world=world), state, **changes) for r in range(world)]


@pytest.fixture(scope="module")
def whole(clips_folder: Path) -> list[tuple[Any, ...]]:
    """Six global batches: two epochs and a half."""
    return read([opened(clips_folder)], 6)


def test_an_epoch_gives_every_clip_once(clips_folder: Path, whole: list[tuple[Any, ...]]) -> None:
    keys = [row[0] for row in whole]
    assert (
        sorted(keys[:CLIPS])
        == sorted(keys[CLIPS : 2 * CLIPS])
        == sorted(Dataset.open(clips_folder).index["key"].to_pylist())
    )
    assert keys[:CLIPS] != keys[CLIPS : 2 * CLIPS]


@pytest.mark.parametrize(("world", "workers"), [(1, 1), (1, 2), (2, 0), (3, 2), (6, 0)])
def test_neither_ranks_nor_workers_change_the_stream(
    clips_folder: Path, whole: list[tuple[Any, ...]], world: int, workers: int
) -> None:
    assert read(ranks(clips_folder, world, workers=workers), 6) == whole


def test_lent_pictures_are_right_until_the_next_are_asked_for(clips_folder: Path, whole: list[tuple[Any, ...]]) -> None:
    """They come in as many rooms as a worker has by turns, and the trainer lets go of those at the end."""
    batches = opened(clips_folder, workers=1).batches(lent=True)
    seen: list[tuple[Any, ...]] = []
    places = set()
    for batch in islice(batches, 6):
        seen += rows(batch)
        places.add(batch.frames.data_ptr())
    assert seen == whole
    assert len(places) == SMALL.batches_ahead + 1
    assert in_use()
    batches.close()
    assert not in_use()


@pytest.mark.parametrize(("stopped", "world", "workers"), [(1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 1, 2)])
def test_a_stream_goes_on_with_another_topology(
    clips_folder: Path, whole: list[tuple[Any, ...]], stopped: int, world: int, workers: int
) -> None:
    """stream(resume at k) == stream()[k:]."""
    first = opened(clips_folder)
    (*_, last) = islice(first.batches(), stopped)
    text = first.state(last.end).to_json()
    assert len(text) < 1024
    resumed = ranks(clips_folder, world, State.of_json(text), workers=workers)
    assert read(resumed, 6 - stopped) == whole[stopped * WHOLE :]


def test_another_global_batch_goes_on_at_the_same_clip(clips_folder: Path, whole: list[tuple[Any, ...]]) -> None:
    first = opened(clips_folder)
    (last,) = islice(first.batches(), 1)
    resumed = opened(clips_folder, Share(batch=4), first.state(last.end))
    assert read([resumed], 3) == whole[WHOLE : WHOLE + 12]


def test_a_seed_gives_another_stream(clips_folder: Path, whole: list[tuple[Any, ...]]) -> None:
    assert read([opened(clips_folder, seed=1)], 2) != whole[: 2 * WHOLE]


def test_classes_come_as_often_as_the_temper_says(clips_folder: Path) -> None:
    """5 dogs, 5 cats and 4 boats, of which one cat is wanted: a third each, or as they are."""
    where = "subject != 'cat' or caption like '%nr 4 %'"
    for temper, expected in (
        (0.0, {"dog": 1 / 3, "cat": 1 / 3, "boat": 1 / 3}),
        (1.0, {"dog": 0.5, "cat": 0.1, "boat": 0.4}),
    ):
        stream = opened(clips_folder, sampling=Sampling(kind="balanced", temper=temper, where=where))
        nouns = [stream.clips[stream.order.draw(position).clip].subject for position in range(2000)]
        assert {noun: nouns.count(noun) / 2000 for noun in expected} == pytest.approx(expected, abs=0.01)


def test_a_clip_that_an_epoch_draws_again_is_another_window(clips_folder: Path) -> None:
    stream = opened(
        clips_folder,
        sampling=Sampling(kind="balanced", where="subject = 'cat' and caption like '%nr 4 %' or subject = 'dog'"),
    )
    drawn = [row for row in read([stream], 2) if row[2] == "cat"]
    assert len(drawn) == 6
    assert len(set(drawn)) > 1


def test_a_column_weighs(clips_folder: Path) -> None:
    stream = opened(clips_folder, sampling=Sampling(kind="weighted", column="motion.shift"))
    captions = [stream.clips[stream.order.draw(position).clip].caption for position in range(2800)]
    numbers = [int(caption.split()[3]) for caption in captions]
    total = sum(range(CLIPS))
    assert [numbers.count(n) / 2800 for n in range(CLIPS)] == pytest.approx([n / total for n in range(CLIPS)], abs=0.01)
    with pytest.raises(
        ValueError, match=r"sampling\.column='motion' is no column of numbers; there are .*motion\.shift"
    ):
        opened(clips_folder, sampling=Sampling(kind="weighted", column="motion"))


def test_frozen_clips_show_the_same_in_each_epoch_and_get_other_noise(clips_folder: Path) -> None:
    drawn = read([opened(clips_folder, freeze=True, text_dropout=0.0)], 5)[: 2 * CLIPS]
    first, second = (sorted(rows, key=lambda row: str(row[0])) for rows in (drawn[:CLIPS], drawn[CLIPS:]))
    assert [row[:-1] for row in first] == [row[:-1] for row in second]
    assert not {row[-1] for row in first} & {row[-1] for row in second}


@pytest.fixture
def own(clips_folder: Path, tmp_path: Path) -> Path:
    """The dataset to break."""
    return Path(shutil.copytree(clips_folder, tmp_path / "own"))


def decide(folder: Path, number: int, action: Action, value: int | str | None = None) -> str:
    dataset = Dataset.open(folder)
    row = dataset.index.slice(number, 1).to_pylist()[0]
    dataset.verdicts().append(verdict("ann", row["key"], row["sha256"], action, value))
    return str(row["key"])


def test_what_people_decided_holds(own: Path) -> None:
    rejected, renamed = decide(own, 0, "reject"), decide(own, 1, "rename_subject", "puppy")
    edited, dropped = decide(own, 2, "edit_caption", "a better one"), decide(own, 3, "drop_track", 1)
    stream = opened(own, text_dropout=0.0)
    clips = {clip.key: clip for clip in (stream.clips[n] for n in range(len(stream.clips)))}
    assert len(clips) == CLIPS - 1
    assert rejected not in clips
    assert clips[renamed].subject == "puppy"
    assert clips[edited].caption == "a better one"
    assert (clips[dropped].track, clips[dropped].subject) == (2, "ball")
    told = {
        key: (caption, noun)
        for batch in islice(stream.batches(), 3)
        for key, caption, noun in zip(batch.keys, batch.captions, batch.nouns, strict=True)
    }
    assert told[edited][0] == "a better one"
    assert told[renamed][1] == "puppy"
    assert len(opened(own, sampling=Sampling(ignore_verdicts=True)).clips) == CLIPS


def test_tracks_made_anew_are_trained_on_as_if_they_were_written_in(own: Path, tmp_path: Path) -> None:
    """A clip whose subject has another's masks now, and one whose subject is one more track than the shard has."""
    dataset = Dataset.open(own)
    replaced = Redrawn(id=1, noun="", masks=dataset[1].tracks[0].masks)
    more = Redrawn(id=7, noun="kite", masks=dataset[0].tracks[0].masks)
    keys = {decide(own, 0, "retrack", replaced.to_text()), decide(own, 1, "retrack", more.to_text())}
    for track in dataset[1].tracks:
        decide(own, 1, "drop_track", track.id)
    repack(Dataset.open(own), Storage.at(tmp_path / "written"), Settings(), code="0")
    before, decided, written = (
        {row[0]: row for row in read([opened(folder, sampling=sampling)], 3)[:CLIPS] if row[0] in keys}
        for folder, sampling in (
            (own, Sampling(ignore_verdicts=True)),
            (own, Sampling()),
            (tmp_path / "written", Sampling()),
        )
    )
    assert decided == written
    assert all(decided[key] != before[key] for key in keys)


def test_other_shards_verdicts_or_settings_are_not_gone_on_with(own: Path) -> None:
    state = opened(own).state(WHOLE)
    with pytest.raises(ValueError, match="decide its order; set them back, or start a new run"):
        opened(own, state=state, sampling=Sampling(where="true"))
    with pytest.raises(ValueError, match="decide its order"):
        opened(own, state=state, seed=4)
    decide(own, 0, "reject")
    with pytest.raises(ValueError, match="its shards or its verdicts changed"):
        opened(own, state=state)


def corrupt(folder: Path, number: int) -> str:
    """Zeros in the middle of a clip's video."""
    dataset = Dataset.open(folder)
    row = dataset.index.slice(number, 1).to_pylist()[0]
    tar = folder / "shards" / f"{row['shard']}.tar"
    data = bytearray(tar.read_bytes())
    middle = row["mp4_offset"] + row["mp4_size"] // 2
    data[middle : middle + 200] = bytes(200)
    tar.write_bytes(data)
    return str(row["key"])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_member_is_told_and_replaced_alike_everywhere(
    own: Path, whole: list[tuple[Any, ...]], workers: int
) -> None:
    key = corrupt(own, 5)
    batches = list(islice(opened(own, workers=workers).batches(), 6))
    faults = [fault for batch in batches for fault in batch.faults]
    assert {fault.key for fault in faults} == {key}
    assert {fault.why for fault in faults} == {"its bytes are not those that its sidecar names"}
    found = [row for batch in batches for row in rows(batch)]
    assert [a == b for a, b in zip(found, whole, strict=True)] == [row[0] != key for row in whole]
    assert read(ranks(own, 2), 6) == found


def test_what_does_not_decode_is_replaced_though_digests_are_not_compared(own: Path) -> None:
    dataset = Dataset.open(own)
    row = dataset.index.slice(5, 1).to_pylist()[0]
    tar = own / "shards" / f"{row['shard']}.tar"
    data = bytearray(tar.read_bytes())
    data[row["mp4_offset"] : row["mp4_offset"] + row["mp4_size"]] = bytes(row["mp4_size"])
    tar.write_bytes(data)
    faults = [fault for batch in islice(opened(own, check_content=False).batches(), 3) for fault in batch.faults]
    assert {(fault.key, fault.why.split(":")[0]) for fault in faults} == {(row["key"], "not_a_video")}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_shard_that_vanishes_on_the_way_is_told_and_replaced(own: Path, workers: int) -> None:
    """Mid-epoch, in the hands of open workers: what they have open they may read on, nothing stops or hangs."""
    stream = opened(own, workers=workers)
    batches = stream.batches()
    next(batches)
    stem = Dataset.open(own).shards[1].stem
    Storage.at(own).remove(f"shards/{stem}.tar")
    rest = list(islice(opened(own, state=stream.state(WHOLE), workers=workers).batches(), 4))
    faults = {fault.key: fault for batch in rest for fault in batch.faults}
    assert {fault.shard for fault in faults.values()} == {stem}
    assert all("there is no such file" in fault.why for fault in faults.values())
    assert not {key for batch in rest for key in batch.keys} & set(faults)
    assert len(list(islice(batches, 3))) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_tars_that_vanish_end_the_stream_in_one_line(own: Path, workers: int) -> None:
    stream = opened(own, workers=workers)
    for tar in own.glob("shards/*.tar"):
        tar.unlink()
    with pytest.raises(
        ValueError, match=f"^{ATTEMPTS} samples in a row cannot be read from .*/own, the last of them "
    ) as told:
        next(stream.batches())
    assert "\n" not in str(told.value)


def test_a_dataset_that_vanishes_before_workers_begin_is_told_too(own: Path) -> None:
    stream = opened(own, workers=1)
    shutil.rmtree(own)
    with pytest.raises(ValueError, match=r"^cannot read .*\.parquet: there is no such file"):
        next(stream.batches())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"window": Window(num_frames=13)},
            r"none of 14 samples is long enough for 13 frames at 8 a second \(1\.5 s\); lower",
        ),
        (
            {"sampling": Sampling(where="subject = 'emu'")},
            "none of 14 samples meets \"subject = 'emu'\"; change loader",
        ),
        (
            {"sampling": Sampling(kind="weighted", column="motion.shift", where='"motion.shift" = 0')},
            "is 0 or missing for all 1",
        ),
    ],
)
def test_no_eligible_clip_is_one_clear_line(clips_folder: Path, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=rf"has no clip to train on: .*{why}") as told:
        opened(clips_folder, **changes)
    assert "\n" not in str(told.value)


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_it_streams_from_a_web_server(clips_folder: Path, whole: list[tuple[Any, ...]]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(clips_folder))) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        assert read([opened(f"http://127.0.0.1:{server.server_address[1]}")], 6) == whole
        server.shutdown()


def test_it_streams_from_an_object_store(s3: str, clips_folder: Path, whole: list[tuple[Any, ...]]) -> None:
    there, here = Storage.at(s3), Storage.at(clips_folder)
    for path in (*here.list(""), *here.list("shards")):
        there.write(path, here.read(path))
    assert read([opened(s3, workers=2)], 6) == whole
