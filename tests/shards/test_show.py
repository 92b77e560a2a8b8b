"""Pictures of samples: what is drawn lies where masks and boxes are, text fits, the overlay keeps the times."""

import io
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shards import Sample, Track, drawing, show, video
from shards.drawing import COLOURS, Mark
from shards.entry import canonical_json, to_members
from shards.verdicts import Decision
from tests.shards.filmed import filmed

FRAME = np.full((60, 80, 3), 100, np.uint8)


def marked(colour: drawing.Colour = COLOURS[0]) -> Mark:
    mask = np.zeros((60, 80), bool)
    mask[30:50, 20:60] = True
    return Mark(colour=colour, label="1 dog", mask=mask, box=(20, 30, 60, 50))


def test_a_frame_without_marks_is_the_frame() -> None:
    assert (np.asarray(drawing.draw_frame(FRAME, [], (80, 60))) == FRAME).all()


def test_the_mask_is_tinted_its_edge_drawn_and_the_rest_left() -> None:
    drawn = np.asarray(drawing.draw_frame(FRAME, [marked()], (160, 120))).astype(int)
    inside = (1 - drawing.TINT) * 100 + drawing.TINT * np.array(COLOURS[0])
    assert abs(drawn[80, 80] - inside).max() <= 1
    for corner in ((60, 40), (60, 119), (99, 40), (99, 119)):
        assert tuple(drawn[corner]) == COLOURS[0]
    assert (drawn[110:] == 100).all()
    assert (drawn[:, 130:] == 100).all()


def test_a_label_stands_above_its_box_and_inside_the_picture() -> None:
    above = np.asarray(drawing.draw_frame(FRAME, [marked()], (160, 120)))
    assert (above[45:60, 42:60] == COLOURS[0]).all(2).mean() > 0.3
    corner = replace(marked(), box=(70, 0, 80, 10), mask=np.zeros((60, 80), bool))
    below = np.asarray(drawing.draw_frame(FRAME, [corner], (160, 120)))
    chip = (below == COLOURS[0]).all(2)
    assert chip[1:16, 110:160].mean() > 0.3


def test_the_first_mark_lies_on_top() -> None:
    both = [marked(COLOURS[0]), marked(COLOURS[1])]
    assert tuple(np.asarray(drawing.draw_frame(FRAME, both, (80, 60)))[30, 30]) == COLOURS[0]


def test_colours_are_apart() -> None:
    pairs = [(a, b) for n, a in enumerate(COLOURS) for b in COLOURS[:n]]
    assert min(np.linalg.norm(np.subtract(a, b)) for a, b in pairs) > 80


@given(st.integers(2, 5000), st.integers(2, 5000))
def test_a_tile_is_the_largest_of_its_shape_that_fits(width: int, height: int) -> None:
    wide, high = drawing.tile_size(width, height, (320, 240))
    assert (wide % 2, high % 2) == (0, 0)
    assert 2 <= wide <= 320
    assert 2 <= high <= 240
    assert wide >= 319 or high >= 239


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=200), st.integers(60, 400))
def test_wrapped_lines_fit(text: str, width: int) -> None:
    lines = drawing.wrapped(text, drawing.font(16), width)
    assert all(drawing.font(16).getlength(line) <= width for line in lines)
    if not any("…" in line for line in lines):
        assert " ".join(lines).split() == text.split()


@pytest.mark.parametrize(("count", "wanted"), [(1, 12), (2, 12), (12, 12), (13, 12), (300, 12), (5, 1)])
def test_frames_are_spread_evenly(count: int, wanted: int) -> None:
    numbers = show.evenly_spread(count, wanted)
    assert len(numbers) == min(count, wanted)
    assert numbers[0] == 0
    assert numbers == sorted(set(numbers))
    if wanted > 1:
        assert numbers[-1] == count - 1
        steps = np.diff(numbers)
        assert len(steps) == 0 or steps.max() - steps.min() <= 1


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (20, 300)])
def test_a_contact_sheet_has_a_tile_for_every_frame(size: tuple[int, int]) -> None:
    sample = filmed(0, size=size)
    sheet = show.contact_sheet(sample, 4, columns=2)
    wide, high = drawing.tile_size(sample.width, sample.height, show.SHEET_TILE)
    assert sheet.width >= 2 * wide
    assert sheet.height >= 2 * high
    reread = Image.open(io.BytesIO(show.png(sheet)))
    assert (np.asarray(reread) == np.asarray(sheet)).all()


def test_a_sheet_grows_with_its_caption() -> None:
    long = filmed(0, caption="so many words " * 40)
    assert show.contact_sheet(long, 4).height > show.contact_sheet(filmed(0), 4).height


def test_several_samples_share_a_sheet() -> None:
    one, two = show.overview([filmed(0)]), show.overview([filmed(0), filmed(1, size=(64, 48))])
    assert two.height > one.height
    assert (np.asarray(two)[: one.height - 1, : one.width] == np.asarray(one)[:-1]).all()


def test_the_overlay_keeps_every_frame_at_its_time() -> None:
    pts = (0, 3, 4, 10, 11, 30)
    plain = filmed(0)
    frames = list(video.frames(plain.video))
    sample = filmed(0, video=video.encode(frames, pts, Fraction(1, 24)), pts=pts)
    drawn = show.overlay_video(sample)
    info = video.probe(drawn)
    assert info.pts == sample.times
    assert (info.width, info.height) == (512, 384)  # 8 times 64x48: at least about 480 pixels


def _coloured(sample: Sample, colour: drawing.Colour) -> list[bool]:
    near = (np.abs(frame.astype(int) - colour).max(2) < 40 for frame in video.frames(show.overlay_video(sample)))
    return [bool(pixels.sum() > 200) for pixels in near]


def test_the_overlay_marks_a_track_only_where_it_is() -> None:
    assert _coloured(filmed(0), COLOURS[1]) == [True, False, True, True, True, True]


def test_the_record_in_words_names_everything() -> None:
    sample = filmed(0)
    text = show.describe(sample)
    for part in (sample.key, sample.caption, "64x48, 6 frames", "by source", "in 5 of 6 frames", "practice/0"):
        assert part in text
    assert all(name in text for name in [*sample.scores, *sample.provenance])


def test_a_clip_of_one_frame_can_be_shown() -> None:
    mask = np.zeros((1, 48, 64), bool)
    mask[0, 5:20, 5:20] = True
    frame = np.full((1, 48, 64, 3), 90, np.uint8)
    clip = video.encode(frame, (0,), Fraction(1, 24))
    sample = filmed(0, video=clip, pts=(0,), tracks=(Track.of_masks(mask, id=1, noun="dog"),))
    assert "1 frames" in show.describe(sample)
    assert show.contact_sheet(sample).height > 240
    assert video.probe(show.overlay_video(sample)).num_frames == 1


def test_record_and_decision_as_json() -> None:
    sample = filmed(0)
    assert canonical_json(show.record(sample)) == to_members(sample)["json"]
    decision = Decision(accepted=False, dropped_tracks=frozenset({2, 1}))
    assert show.decision(decision) == {"accepted": False, "dropped_tracks": [1, 2]}
    assert show.decision(Decision()) == {}
