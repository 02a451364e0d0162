"""Metrics of one running service, for Prometheus."""

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

MEDIA_TYPE = CONTENT_TYPE_LATEST

BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Upper bounds of the duration buckets: one point takes a tenth of a millisecond, a training seconds."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods with a separate label; all others share the label `other`, so that clients cannot add labels."""

COUNTERS = {
    "separatrix_points": "Points that were classified.",
    "separatrix_abandoned_requests": "Requests whose client went away while a thread worked for them or was awaited.",
    "separatrix_response_cache_hits": "Requests for a boundary that were answered from the response cache.",
    "separatrix_response_cache_misses": "Requests for a boundary that were not in the response cache.",
}
"""What each counter of a process counts, by its name."""

GAUGES = {
    "separatrix_response_cache_bytes": "Memory of the responses that are kept.",
    "separatrix_loaded_versions_bytes": "Memory of the versions that are kept loaded.",
    "separatrix_request_bodies_bytes": "Memory of the bodies of requests in progress, without the first 64 KB of each.",
    "separatrix_open_streams": "Event streams that are open.",
}
"""What each gauge of a process measures, by its name."""

Route = tuple[str, str]
"""Method and path of a request."""

Figures = Mapping[str, float]
"""Values of counters or gauges by name."""

_BUCKET_LABELS = [*map(str, BUCKETS_S), "+Inf"]


class _Durations:
    """Request count per duration bucket, and the sum of the durations, of one route and status."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * len(_BUCKET_LABELS)
        self.sum_s = 0.0


class Metrics:
    """Counts requests and points of one process. Only the event loop may call it, so it needs no lock.

    The counters of prometheus_client lock, which takes several times as long and shows in a request of 50 us.
    """

    def __init__(self) -> None:
        """Starts at zero."""
        self.points = 0
        self.abandoned = 0
        self._durations: dict[tuple[Route, int], _Durations] = {}

    def route(self, scope: MutableMapping[str, Any]) -> Route:
        """The route that answered a request; its path is `unmatched` if no route has the request's path."""
        method = scope["method"] if scope["method"] in METHODS else "other"
        return method, getattr(scope.get("route"), "path", "unmatched")

    def observe(self, route: Route, status: int, duration_s: float) -> None:
        """Counts a request that was answered."""
        durations = self._durations.get((route, status))
        if durations is None:
            durations = self._durations[route, status] = _Durations()
        durations.counts[bisect_left(BUCKETS_S, duration_s)] += 1
        durations.sum_s += duration_s

    def snapshot(self, counters: Figures, gauges: Figures) -> dict[str, Any]:
        """All figures of this process as JSON, with further counters and gauges."""
        own = {"separatrix_points": self.points, "separatrix_abandoned_requests": self.abandoned}
        durations = [[*route, status, one.counts, one.sum_s] for (route, status), one in self._durations.items()]
        return {"counters": {**own, **counters}, "gauges": gauges, "durations": durations}


class SharedMetrics:
    """The metrics of all processes that answer the requests of one service.

    Each process writes its figures to a file now and then, and reads the files of the others when it is asked for the
    metrics. The figures of a process that has ended still count, as counters must never fall.
    """

    def __init__(self, folder: Path | None, snapshot: Callable[[], dict[str, Any]]) -> None:
        """All processes share `folder`; None for a single process. `snapshot` is called in the event loop."""
        self._folder = folder
        self._own = f"{os.getpid()}.json"
        self._snapshot = snapshot

    def write(self) -> None:
        """Shows the figures of this process to the others."""
        if self._folder is not None:
            unfinished = self._folder / f"{self._own}.new"
            unfinished.write_bytes(orjson.dumps(self._snapshot()))
            unfinished.replace(self._folder / self._own)

    def exposition(self, further: Iterable[Metric] = ()) -> bytes:
        """The metrics in the text format of Prometheus, with those that are not of a process."""
        registry = CollectorRegistry()
        registry.register(_Families([*_families([self._snapshot(), *self._others()]), *further]))
        return generate_latest(registry)

    def _others(self) -> Iterator[dict[str, Any]]:
        if self._folder is None:
            return
        for path in self._folder.glob("*.json"):
            if path.name != self._own:
                found = orjson.loads(path.read_bytes())
                yield found if _is_running(int(path.stem)) else found | {"gauges": {}}


class _Families(Collector):
    """What prometheus_client needs to write given metrics."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _families(snapshots: list[dict[str, Any]]) -> Iterator[Metric]:
    """The sums of the figures of several processes."""

    def total(kind: str, name: str) -> float:
        values: list[float] = [one[kind].get(name, 0) for one in snapshots]
        return sum(values)

    for name, meaning in COUNTERS.items():
        yield CounterMetricFamily(name, meaning, value=total("counters", name))
    for name, meaning in GAUGES.items():
        yield GaugeMetricFamily(name, meaning, value=total("gauges", name))
    durations: dict[tuple[str, str, int], _Durations] = {}
    for method, path, status, counts, sum_s in (row for one in snapshots for row in one["durations"]):
        sums = durations.setdefault((method, path, status), _Durations())
        sums.counts = [a + b for a, b in zip(sums.counts, counts, strict=True)]
        sums.sum_s += sum_s
    family = HistogramMetricFamily(
        "separatrix_request_duration_seconds",
        "Time from the arrival of a request to the end of its response.",
        labels=["method", "route", "status"],
    )
    for (method, path, status), sums in durations.items():
        buckets = [*zip(_BUCKET_LABELS, accumulate(sums.counts), strict=True)]
        family.add_metric([method, path, str(status)], buckets, sums.sum_s)
    yield family


def _is_running(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
