"""The camera's motion and the subject's own, against warps and practice scenes in which both are known exactly."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import cos, hypot, sin

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.embedded.scenes import Scene
from pipeline.embedded.world import World
from pipeline.records import Tracked, Tracklet
from pipeline.stages.camera import Camera, compensated
from pipeline.stages.global_motion import Grey, Matrix, global_motion
from pipeline.stages.measure import usable_boxes
from pipeline.stages.rules import OwnMotion
from shards import rle, video
from shards.rle import Box, Size
from tests.pipeline.tracked_clips import tracked

SIZE: Size = (120, 200)
DIAGONAL = hypot(*SIZE)
BOX: Box = (80, 40, 120, 80)


def motion(x: float = 0, y: float = 0, zoom: float = 1, roll: float = 0, size: Size = SIZE) -> Matrix:
    """A similarity about the picture's centre, `roll` in radians."""
    a, b = zoom * cos(roll), zoom * sin(roll)
    centre = np.array([size[1] / 2, size[0] / 2])
    turn = np.array([[a, -b], [b, a]])
    return np.vstack([np.column_stack([turn, centre - turn @ centre + (x, y)]), (0, 0, 1)])


# --- What is left of a box's way, by exact camera poses


@given(st.integers(-60, 60), st.integers(-40, 40), st.sampled_from([0.5, 1.0, 2.0]))
def test_a_subject_that_stands_has_no_motion_whatever_the_camera_does(x: int, y: int, zoom: float) -> None:
    pose = motion(x, y, zoom)
    corners = (pose[:2, :2] @ np.array(BOX).reshape(2, 2).T).T + pose[:2, 2]
    (x0, y0), (x1, y1) = np.clip(corners, 0, SIZE[::-1]).round().astype(int).tolist()
    if x0 < x1 and y0 < y1:
        assert compensated([BOX, (x0, y0, x1, y1)], [np.eye(3), pose], SIZE) <= 1 / DIAGONAL


@given(st.integers(-70, 70), st.integers(-35, 35))
def test_before_a_camera_that_stands_it_is_the_way_that_the_box_goes(x: int, y: int) -> None:
    there: Box = (BOX[0] + x, BOX[1] + y, BOX[2] + x, BOX[3] + y)
    assert compensated([BOX, there], [np.eye(3)] * 2, SIZE) == pytest.approx(hypot(x, y) / DIAGONAL)


def test_a_camera_that_follows_leaves_the_subject_its_way() -> None:
    assert compensated([BOX, BOX], [np.eye(3), motion(-50)], SIZE) == pytest.approx(50 / DIAGONAL)
    assert compensated([BOX, BOX], [np.eye(3), motion(-500)], SIZE) == pytest.approx(500 / DIAGONAL)


def test_the_farthest_place_counts_and_frames_without_the_subject_do_not() -> None:
    boxes = [None, BOX, (30, 40, 70, 80), None, BOX]
    poses = [np.eye(3), motion(400), motion(400), motion(-400), motion(400)]
    assert compensated(boxes, poses, SIZE) == pytest.approx(50 / DIAGONAL)
    assert compensated([None, BOX, None], poses[:3], SIZE) == 0
    assert compensated([None] * 3, poses[:3], SIZE) == 0


def test_a_subject_that_comes_nearer_moves_and_one_that_is_zoomed_at_does_not() -> None:
    near: Box = (60, 20, 140, 100)
    assert compensated([BOX, near], [np.eye(3)] * 2, SIZE) == pytest.approx(hypot(20, 20) / DIAGONAL)
    assert compensated([BOX, near], [np.eye(3), motion(zoom=2)], SIZE) == pytest.approx(0)


# --- The camera's motion, by pictures


def texture(seed: int = 0, contrast: float = 60) -> Grey:
    """A wall with detail at every size."""
    rng = np.random.default_rng(seed)
    wall = np.zeros((2 * SIZE[0], 2 * SIZE[1]), np.float32)
    for cells in (6, 24, 96):
        coarse = rng.standard_normal((cells, cells)).astype(np.float32)
        wall += cv2.resize(coarse, wall.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(128 + contrast * wall, 0, 255), np.uint8)


def filmed(wall: Grey, pose: Matrix) -> Grey:
    """The wall's middle as a camera sees it after `pose`."""
    to_picture = motion(-SIZE[1] / 2, -SIZE[0] / 2, size=(0, 0))
    return np.asarray(cv2.warpAffine(wall, (pose @ to_picture)[:2], SIZE[::-1], flags=cv2.INTER_LINEAR), np.uint8)


def error(found: Matrix | None, truth: Matrix) -> float:
    """Largest distance, in pixels, between where both take the picture's corners."""
    assert found is not None
    corners = np.array([(x, y, 1) for x in (0, SIZE[1]) for y in (0, SIZE[0])]).T
    return float(np.linalg.norm(((found - truth) @ corners)[:2], axis=0).max())


EVERYWHERE = np.ones(SIZE, np.bool_)
WAYS = {
    "still": motion(),
    "less than a pixel": motion(0.4, -0.3),
    "a pan": motion(14, 3),
    "zoom in": motion(zoom=1.08),
    "zoom out": motion(zoom=0.94),
    "roll": motion(roll=0.06),
    "all at once": motion(-8, 5, 1.04, -0.04),
}


@pytest.mark.parametrize("way", WAYS)
def test_shift_zoom_and_roll_are_found(way: str) -> None:
    found = global_motion(filmed(texture(), motion()), filmed(texture(), WAYS[way]), EVERYWHERE, np.eye(3))
    assert error(found, WAYS[way]) < 0.6


@pytest.mark.parametrize("way", WAYS)
def test_a_strong_thing_that_moves_before_a_faint_wall_is_not_taken_for_the_camera(way: str) -> None:
    wall, thing = texture(1, contrast=8), texture(2)[:70, :90]
    before, after = filmed(wall, motion()), filmed(wall, WAYS[way])
    before[20:90, 20:110], after[30:100, 32:122] = thing, thing
    assert error(global_motion(before, after, EVERYWHERE, np.eye(3)), WAYS[way]) < 1


def test_what_is_masked_does_not_count() -> None:
    before, after = filmed(texture(1), motion()), filmed(texture(1), motion(6))
    ground = EVERYWHERE.copy()
    ground[:100, :170] = False
    before[:95, :165], after[:95, :165] = texture(2)[:95, :165], texture(2)[:95, :165]
    assert error(global_motion(before, after, ground, np.eye(3)), motion(6)) < 0.6
    assert error(global_motion(before, after, EVERYWHERE, np.eye(3)), motion()) < 0.6


def test_before_a_flat_wall_nothing_can_be_told() -> None:
    flat = np.full(SIZE, 90, np.uint8)
    assert global_motion(flat, flat, EVERYWHERE, np.eye(3)) is None
    assert global_motion(texture()[:120, :200], texture()[:120, :200], ~EVERYWHERE, np.eye(3)) is None


# --- Practice scenes


def record_of(scene: Scene) -> tuple[Tracked, list[NDArray[np.uint8]]]:
    """A scene with its exact track, and its frames as they come out of H.264."""
    rendered = scene.render()
    data = video.encode(rendered.frames, range(scene.num_frames), 1 / Fraction(scene.frame_rate))
    record = tracked([None] * scene.num_frames, scene.size)
    track = Tracklet(id=1, noun=scene.nouns[0], masks=rle.encode_clip(rendered.masks[0]))
    return replace(record, end=scene.num_frames / scene.frame_rate, tracks=(track,)), list(video.frames(data))


def measured(scene: Scene) -> dict[str, float]:
    camera, (record, frames) = Camera(), record_of(scene)
    numbers, boxes = camera.frames(record), usable_boxes(record)
    pictures = [camera.shrink(frames[number]) for number in numbers]
    return camera.measure(record, pictures, [boxes[number] for number in numbers])


def following(scene: Scene) -> Scene:
    """The same scene by a camera that keeps its subject where it is in the first frame."""
    path = scene.shots[0].actors[0].path
    camera = tuple((pose.x - path[0].x, pose.y - path[0].y) for pose in path)
    return replace(scene, shots=(replace(scene.shots[0], camera=camera),))


def kept(scene: Scene) -> bool:
    return OwnMotion().broken(measured(scene)) is None


@pytest.mark.parametrize(
    ("film", "case", "keep"),
    [
        (lambda scene: scene, "camera", False),
        (lambda scene: scene, "plain", True),
        (lambda scene: scene, "occluded", True),
        (lambda scene: scene, "returning", True),
        (following, "plain", True),
    ],
    ids=["camera", "plain", "occluded", "returning", "following"],
)
def test_only_the_subjects_own_motion_counts(film: Callable[[Scene], Scene], case: str, keep: bool) -> None:
    scenes = [World().scene(index, case) for index in range(700, 706)]  # type: ignore[arg-type]
    assert [kept(film(scene)) for scene in scenes] == [keep] * len(scenes)


def test_the_pan_is_measured_exactly() -> None:
    for index in range(700, 704):
        scene = World().scene(index, "camera")
        (x0, y0), (x1, y1) = scene.shots[0].camera[0], scene.shots[0].camera[-1]
        way = hypot((x1 - x0) * scene.size[1], (y1 - y0) * scene.size[0]) / hypot(*scene.size)
        scores = measured(scene)
        assert scores["camera.shift"] == pytest.approx(way, abs=0.03)
        assert scores["camera.zoom"] == pytest.approx(1, abs=0.03)
        assert scores["camera.known"] == 1


@pytest.mark.parametrize(
    ("num_frames", "seconds", "rate", "numbers"),
    [(24, 3.0, 1.0, (0, 8, 15, 23)), (1, 0.04, 4.0, (0,)), (3, 10.0, 4.0, (0, 1, 2)), (100, 0.01, 4.0, (0, 99))],
)
def test_frames_are_compared_from_the_first_to_the_last(
    num_frames: int, seconds: float, rate: float, numbers: tuple[int, ...]
) -> None:
    record = replace(tracked([None] * num_frames, SIZE), end=seconds)
    assert Camera(rate=rate).frames(record) == numbers
