"""One clip as the page gets it: what the shard says, what people decided over it, and where its bytes are got."""

from collections.abc import Mapping, Sequence
from typing import Any

from curation_ui.holdings import OwnShards
from curation_ui.log import Seen, decision_info
from curation_ui.playing import Player
from curation_ui.shown import Shown
from curation_ui.thresholds import broken_by, scores_of
from curation_ui.wire import Clip, DecisionInfo, TrackInfo
from shards import Decision, Track, rle
from shards.rle import Rle, Size

_UNDECIDED = DecisionInfo(state="open", flagged=False, subject=None, caption=None, dropped_tracks=[], by=[], hidden=0)


def clip_of(shown: Shown, key: str, who: str | None, player: Player) -> Clip:
    """Raises `KeyError` for a clip that there is not, `Unplayable` and `ValueError` for one that cannot be read."""
    row = shown.holdings.row_of(key)
    if isinstance(shown.holdings, OwnShards):
        return _own(shown, shown.holdings, row, key, who, player)
    return _foreign(shown, row, key, player)


def stopped_clip(shown: Shown, key: str) -> Clip:
    """A clip that is no sample: what was measured of it, and why it stopped. Raises `KeyError`."""
    record = shown.stopped_record(key)
    source = str(record["video"]).partition("/")[0]
    names = [column.name for column in shown.columns("stopped") if column.group == "score"]
    scores = {name: float(record[name]) for name in names if record[name] is not None}
    measured = record.get("measured")
    story = shown.stopped_story(key)
    return Clip(
        **{**_NOWHERE, **_story(story, f"/media/{shown.name}/stopped/{key}")},
        dataset=shown.name,
        key=key,
        kind="stopped",
        scores=scores_of(scores, shown.rules),
        broken=broken_by(scores, shown.rules, source),
        stage=record["stage"],
        why=record["why"],
        measured=None if measured is None else f"{measured:g}",
        provenance={"video": record["video"], "outcome": record["outcome"]}
        | {name: story[name] for name in ("start", "end", "first_frame", "source_sha256") if name in story},
        decision=_UNDECIDED,
    )


def _story(story: Mapping[str, Any], address: str) -> dict[str, Any]:
    """What a stopped clip shows of itself, as far as it came."""
    caption = story.get("caption", "")
    subject = story.get("subject") or next(iter(story.get("subjects", ())), "")
    said = {"caption": caption, "stored_caption": caption, "subject": subject, "stored_subject": subject}
    if "sha256" not in story:
        return said
    size = story["height"], story["width"]
    times = [tick * story["time_base"][0] / story["time_base"][1] for tick in story["pts"]]
    tracks = [_found_track(track, size) for track in story.get("tracks", ())]
    return {
        **said,
        "mp4": f"{address}.mp4?v={story['sha256'][:16]}",
        "codec": "h264",
        "strip": f"{address}.jpg",
        "masks": f"{address}.masks.json" if tracks else None,
        "width": size[1],
        "height": size[0],
        "pts": story["pts"],
        "time_base": tuple(story["time_base"]),
        "fps": (len(times) - 1) / times[-1] if times[-1] else 0.0,
        "duration": story["end"] - story["start"],
        "caption_by": story.get("caption_author", ""),
        "tracks": tracks or _detected(story, len(times)),
    }


def _found_track(track: Mapping[str, Any], size: Size) -> TrackInfo:
    boxes = Track.of_masks(track["masks"], id=track["id"], noun=track["noun"], size=size).boxes
    return TrackInfo(
        id=track["id"],
        noun=track["noun"],
        dropped=False,
        redrawn=False,
        scores=track.get("scores", {}),
        series=track.get("series", {}),
        boxes=list(boxes),
    )


def _detected(story: Mapping[str, Any], num_frames: int) -> list[TrackInfo]:
    """Detections of a clip that was not tracked: a box in one frame each."""
    return [
        TrackInfo(
            id=number,
            noun=found["noun"],
            dropped=False,
            redrawn=False,
            scores={} if found["score"] is None else {"detector": found["score"]},
            series={},
            boxes=[tuple(found["box"]) if t == found["frame"] else None for t in range(num_frames)],
        )
        for number, found in enumerate(story.get("detections", ()), 1)
    ]


_NOWHERE: dict[str, Any] = {
    "sha256": None,
    "mp4": None,
    "proxied": False,
    "codec": None,
    "strip": None,
    "masks": None,
    "width": 0,
    "height": 0,
    "pts": [],
    "time_base": (1, 1),
    "fps": 0.0,
    "duration": 0.0,
    "caption": "",
    "caption_by": "",
    "subject": "",
    "stored_caption": "",
    "stored_subject": "",
    "tracks": [],
    "redrawn": {},
    "shard": None,
    "history": [],
}
"""Of a clip without a video."""


def _own(shown: Shown, own: OwnShards, row: int, key: str, who: str | None, player: Player) -> Clip:
    said = own.description(row)
    kept: dict[str, Any] = own.index.slice(row, 1).to_pylist()[0]
    seen = shown.log.seen([key], who)[key] if shown.log else Seen()
    subject, caption = shown.as_decided(key, seen)
    size = said["height"], said["width"]
    video, strip, masks = own.video(row), own.strip(row), own.masks(row)
    form = player.format(video)
    scores = {str(name): float(value) for name, value in said["scores"].items()}
    return Clip(
        dataset=shown.name,
        key=key,
        kind="samples",
        sha256=own.content[key],
        mp4=shown.url(row, "mp4", video.tag),
        proxied=not form.plays,
        codec=form.codec,
        strip=shown.url(row, "jpg", strip.tag),
        masks=shown.url(row, "masks.json", masks.tag),
        width=said["width"],
        height=said["height"],
        pts=said["pts"],
        time_base=tuple(said["time_base"]),
        fps=kept["fps"],
        duration=kept["duration"],
        caption=caption,
        caption_by=kept["caption_by"] or "",
        subject=subject,
        stored_caption=said["caption"],
        stored_subject=said["subject"],
        tracks=_tracks(said["tracks"], own.track_masks(row), size, seen.decision),
        redrawn={one.id: list(one.masks) for one in seen.decision.redrawn},
        scores=scores_of(scores, shown.rules),
        broken=broken_by(scores, shown.rules, str(kept["video"]).partition("/")[0]),
        stage=None,
        why=None,
        measured=None,
        provenance=said["provenance"],
        shard=kept["shard"],
        decision=decision_info(seen, shown.states({key: seen})[key]),
        history=shown.log.shown(key, who) if shown.log else [],
    )


def _tracks(
    said: Sequence[Mapping[str, Any]], masks: Mapping[int, Sequence[Rle | None]], size: Size, decision: Decision
) -> list[TrackInfo]:
    """Those of the shard and those that people had made anew, which stand in their place or behind them."""
    stored = {track["id"]: track for track in said}
    anew = {one.id: one for one in decision.redrawn}
    found = []
    for id_ in [*stored, *(id_ for id_ in anew if id_ not in stored)]:
        drawn = anew.get(id_)
        noun = stored[id_]["noun"] if id_ in stored else anew[id_].noun
        if drawn is None:
            track, boxes = stored[id_], stored[id_]["boxes"]
        else:  # scores and series were of the old masks
            track = {"scores": {}, "series": {}}
            boxes = Track.of_masks(drawn.masks, id=id_, noun=noun, size=size).boxes
        areas = rle.areas(drawn.masks if drawn else masks[id_], size)
        series = {**track["series"], "area": [None if area is None else area / (size[0] * size[1]) for area in areas]}
        found.append(
            TrackInfo(
                id=id_,
                noun=noun,
                dropped=id_ in decision.dropped_tracks,
                redrawn=drawn is not None,
                scores=track["scores"],
                series=series,
                boxes=boxes,
            )
        )
    return found


def _foreign(shown: Shown, row: int, key: str, player: Player) -> Clip:
    said = shown.holdings.description(row)
    video = shown.holdings.video(row)
    assert video is not None  # a foreign entry is one with a video
    form, times = player.format(video), player.times(video)
    fractions = [float(tick * times.time_base) for tick in times.pts]
    duration = fractions[-1] if fractions else 0.0
    return Clip(
        **{
            **_NOWHERE,
            "mp4": shown.url(row, "mp4", video.tag),
            "proxied": not form.plays,
            "codec": form.codec,
            "strip": shown.url(row, "jpg", video.tag),
            "width": times.width,
            "height": times.height,
            "pts": list(times.pts),
            "time_base": (times.time_base.numerator, times.time_base.denominator),
            "fps": (len(fractions) - 1) / duration if duration else 0.0,
            "duration": duration,
            "caption": said["caption"],
            "stored_caption": said["caption"],
        },
        dataset=shown.name,
        key=key,
        kind="samples",
        scores=[],
        broken=[],
        stage=None,
        why=None,
        measured=None,
        provenance=said["provenance"],
        decision=_UNDECIDED,
    )
