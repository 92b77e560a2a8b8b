"""A run's moments as Prometheus metrics, over HTTP for whoever scrapes them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import start_http_server

from pipeline.moment import Moment


@contextmanager
def served(place: str, look: Callable[[], Moment]) -> Iterator[int]:
    """Serve what `look` says at "PORT" (of this machine alone) or "HOST:PORT"; gives the port, a free one for 0."""
    host, _, port = place.rpartition(":")
    if not port.isdigit():
        raise ValueError(f"--metrics {place}: write PORT or HOST:PORT")
    registry = CollectorRegistry()
    registry.register(_Moments(look))
    server, thread = start_http_server(int(port), addr=host or "127.0.0.1", registry=registry)
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Moments:
    """What `prometheus_client` calls a collector."""

    def __init__(self, look: Callable[[], Moment]) -> None:
        self._look = look

    def collect(self) -> Iterator[Any]:
        moment = self._look()
        yield GaugeMetricFamily("dreamreel_videos", "Videos that were to be decided", value=moment.videos)
        yield CounterMetricFamily("dreamreel_videos_begun", "Videos of them that were begun", value=moment.begun)
        yield CounterMetricFamily("dreamreel_clips_passed", "Clips that every rule let through", value=moment.passed)
        yield CounterMetricFamily("dreamreel_clips_kept", "Clips that stand in shards", value=moment.kept)
        yield CounterMetricFamily("dreamreel_driver_cpu_seconds", "The driver's own", value=moment.driver_cpu)
        yield _by(
            CounterMetricFamily("dreamreel_clips_stopped", "Clips whose way ended", labels=["why"]), moment.stopped
        )
        for field, words in (("queued", "that wait"), ("in_hand", "that a worker has")):
            family = GaugeMetricFamily(f"dreamreel_stage_{field}", f"Records {words}", labels=["stage"])
            yield _by(family, {stage["name"]: stage[field] for stage in moment.stages})
        answered = CounterMetricFamily("dreamreel_stage_answered", "Records answered", labels=["stage"])
        yield _by(answered, {stage["name"]: stage["answered"] for stage in moment.stages})
        taken = CounterMetricFamily("dreamreel_stage_taken_seconds", "That workers were at a stage", labels=["stage"])
        yield _by(taken, {stage["name"]: stage["seconds"] for stage in moment.stages})
        seconds = GaugeMetricFamily("dreamreel_stage_seconds", "Of a record, recent mean", labels=["stage"])
        yield _by(seconds, {stage["name"]: stage["mean_seconds"] or 0.0 for stage in moment.stages})
        for field in ("up", "starting", "wanted"):
            family = GaugeMetricFamily(f"dreamreel_workers_{field}", f"Workers {field}", labels=["pool"])
            yield _by(family, {pool["name"]: pool[field] for pool in moment.pools})
        for field in ("busy", "up"):
            spent = CounterMetricFamily(f"dreamreel_worker_{field}_seconds", f"Seconds {field}", labels=["pool"])
            yield _by(spent, {pool["name"]: pool[f"{field}_seconds"] for pool in moment.pools})


def _by(family: Any, values: Mapping[str, float]) -> Any:
    for label, value in values.items():
        family.add_metric([label], value)
    return family
