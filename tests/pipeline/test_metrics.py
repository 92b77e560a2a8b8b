"""Prometheus metrics of a run, as a scraper reads them."""

import re
import urllib.request

import pytest

from pipeline.metrics import served
from pipeline.moment import Moment

MOMENT = Moment(
    at=0.0,
    seconds=1.0,
    videos=9,
    begun=5,
    passed=3,
    kept=2,
    stopped={'judge: motion."iou"': 1},
    stages=[
        {
            "name": "tracker",
            "queued": 4,
            "in_hand": 2,
            "answered": 7,
            "seconds": 3.5,
            "mean_seconds": 0.5,
            "p99_seconds": 1.0,
        },
        {
            "name": "judge",
            "queued": 0,
            "in_hand": 0,
            "answered": 0,
            "seconds": 0.0,
            "mean_seconds": None,
            "p99_seconds": 0.0,
        },
    ],
    pools=[{"name": "tracker", "up": 2, "starting": 1, "wanted": 3, "busy_seconds": 6.5, "up_seconds": 8.0}],
)


def scraped(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    return {name: float(value) for name, value in re.findall(r"^(dreamreel\S*(?: [^ \d]\S*)*) (\S+)$", text, re.M)}


def test_a_scraper_reads_the_moment() -> None:
    with served("0", lambda: MOMENT) as port:
        found = scraped(port)
    assert found["dreamreel_videos"] == 9
    assert found["dreamreel_clips_kept_total"] == 2
    assert found['dreamreel_stage_in_hand{stage="tracker"}'] == 2
    assert found['dreamreel_stage_taken_seconds_total{stage="tracker"}'] == 3.5
    assert found['dreamreel_workers_up{pool="tracker"}'] == 2
    assert found['dreamreel_worker_busy_seconds_total{pool="tracker"}'] == 6.5
    assert found['dreamreel_clips_stopped_total{why="judge: motion.\\"iou\\""}'] == 1


@pytest.mark.parametrize("place", ["", "here", "127.0.0.1:"])
def test_a_place_that_is_none_is_refused(place: str) -> None:
    with pytest.raises(ValueError, match="write PORT or HOST:PORT"), served(place, lambda: MOMENT):
        pass


def test_a_port_that_is_taken_is_told() -> None:
    with served("0", lambda: MOMENT) as port, pytest.raises(OSError, match="in use"), served(str(port), lambda: MOMENT):
        pass
