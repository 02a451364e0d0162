"""Metrics of one running service, for Prometheus."""

from bisect import bisect_left
from collections.abc import Iterator, MutableMapping
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

MEDIA_TYPE = CONTENT_TYPE_LATEST

BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Upper bounds of the duration buckets: one point takes a tenth of a millisecond, a training seconds."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods with a label of their own; all others share the label `other`, so that clients cannot add labels."""

Route = tuple[str, str]
"""Method and path of a request."""

_BUCKET_LABELS = [*map(str, BUCKETS_S), "+Inf"]


class _Durations:
    """Request count per duration bucket, and the sum of the durations, of one route and status."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * len(_BUCKET_LABELS)
        self.sum_s = 0.0


class Metrics(Collector):
    """Counts requests and points. Only the event loop may call it, so it needs no lock.

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

    def collect(self) -> Iterator[Metric]:
        """The metrics as prometheus_client expects them."""
        yield CounterMetricFamily("separatrix_points", "Points that were classified.", value=self.points)
        yield CounterMetricFamily(
            "separatrix_abandoned_requests",
            "Requests whose client went away while a thread worked for them or was awaited.",
            value=self.abandoned,
        )
        family = HistogramMetricFamily(
            "separatrix_request_duration_seconds",
            "Time from the arrival of a request to the end of its response.",
            labels=["method", "route", "status"],
        )
        for ((method, path), status), durations in self._durations.items():
            buckets = [*zip(_BUCKET_LABELS, accumulate(durations.counts), strict=True)]
            family.add_metric([method, path, str(status)], buckets, durations.sum_s)
        yield family

    def exposition(self) -> bytes:
        """The metrics in the text format of Prometheus."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)
