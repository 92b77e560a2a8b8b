"""The eight canonical trajectories have their shapes at every length; lines and splines pass where they should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.embedded.motion import CLOSED, TRAJECTORIES, line, spline, trajectory, trajectory_boxes

NAMES = st.sampled_from(tuple(TRAJECTORIES))
PLACES = st.tuples(st.floats(0, 1), st.floats(0, 1))


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_sixteen_frames_pass_through_every_key_frame(name: str) -> None:
    path = trajectory(name, 16)
    for frame, x, y in TRAJECTORIES[name]:
        assert path[frame] == pytest.approx((x, y))
    boxes = trajectory_boxes(name, 16)
    assert boxes[:, 2:] - boxes[:, :2] == pytest.approx(np.full((16, 2), 0.3))
    assert boxes.min() >= -1e-9
    assert boxes.max() <= 1 + 1e-9


@given(name=NAMES, count=st.integers(2, 200))
def test_any_length_runs_the_same_course(name: str, count: int) -> None:
    path, keys = trajectory(name, count), np.array(TRAJECTORIES[name])[:, 1:]
    assert path[0] == pytest.approx(keys[0])
    assert path[-1] == pytest.approx(keys[-1])
    assert trajectory(name, 2 * count - 1)[::2] == pytest.approx(path)


def test_shapes() -> None:
    steps = {name: np.diff(trajectory(name, 16), axis=0) for name in TRAJECTORIES}
    assert np.allclose(steps["diagonal"], 0.7 / 15)
    assert np.allclose(steps["mirrored_diagonal"], (-0.7 / 15, 0.7 / 15))
    for name, sign in (("l", 1), ("mirrored_l", -1)):
        assert np.allclose(steps[name][:6, 0], 0)
        assert (sign * steps[name][:6, 1] > 0).all()
        assert np.allclose(steps[name][6:, 1], 0)
        assert (sign * steps[name][6:, 0] > 0).all()
    for name, sign in (("v", 1), ("inverted_v", -1)):
        assert np.allclose(steps[name][:, 0], sign * 0.7 / 15)
        assert np.array_equal(np.sign(np.round(steps[name][:, 1], 9)), sign * np.array([1] * 7 + [0] + [-1] * 7))
    assert np.allclose(steps["there_and_back"][:, 1], 0)
    for name in TRAJECTORIES:
        returns = np.allclose(steps[name].sum(0), 0)
        assert returns == (name in CLOSED)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no trajectory 'zigzag': choose one of diagonal"):
        trajectory("zigzag", 16)


@given(start=PLACES, stop=PLACES, count=st.integers(4, 50), data=st.data())
def test_a_line_waits_goes_evenly_and_stays(
    start: tuple[float, float], stop: tuple[float, float], count: int, data: st.DataObject
) -> None:
    wait = data.draw(st.integers(0, count - 2))
    arrive = data.draw(st.integers(wait + 1, count - 1))
    path = line(start, stop, count, wait=wait, arrive=arrive)
    assert path[: wait + 1] == pytest.approx(np.tile(start, (wait + 1, 1)))
    assert path[arrive:] == pytest.approx(np.tile(stop, (count - arrive, 1)))
    assert np.diff(path[wait : arrive + 1], n=2, axis=0) == pytest.approx(0, abs=1e-12)


@given(points=st.lists(PLACES, min_size=2, max_size=6), spread=st.integers(1, 9))
def test_a_spline_passes_through_its_points(points: list[tuple[float, float]], spread: int) -> None:
    path = spline(points, (len(points) - 1) * spread + 1)
    assert path[::spread] == pytest.approx(np.array(points))
