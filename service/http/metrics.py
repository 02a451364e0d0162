"""What the service counts, for Prometheus."""

from bisect import bisect_left
from collections.abc import Iterator, MutableMapping
from itertools import accumulate
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

router = APIRouter(tags=["metrics"])

BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Upper ends of the buckets of durations: a point is answered in a tenth of a millisecond, a training in seconds."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that are counted by their own name; what else a client thinks of is counted as one."""

_ENDS = [*map(str, BUCKETS_S), "+Inf"]


class _Durations:
    """Of one kind of request: how many took how long."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * len(_ENDS)
        self.sum_s = 0.0


class Metrics(Collector):
    """The figures of one running service, counted by its event loop alone, and so without a lock.

    The library's own counters take several times as long, which a request of fifty microseconds would notice.
    """

    def __init__(self) -> None:
        """All at zero."""
        self.points = 0
        self._durations: dict[tuple[tuple[str, str], int], _Durations] = {}

    def route(self, scope: MutableMapping[str, Any]) -> tuple[str, str]:
        """Method and route of a request that the app has answered. Paths that no route has are counted as one."""
        method = scope["method"] if scope["method"] in METHODS else "other"
        return method, getattr(scope.get("route"), "path", "unmatched")

    def observe(self, route: tuple[str, str], status: int, duration_s: float) -> None:
        """Counts a request that has been answered."""
        durations = self._durations.get((route, status))
        if durations is None:
            durations = self._durations[route, status] = _Durations()
        durations.counts[bisect_left(BUCKETS_S, duration_s)] += 1
        durations.sum_s += duration_s

    def collect(self) -> Iterator[Metric]:
        """The figures as the library writes them."""
        yield CounterMetricFamily("separatrix_points", "Points that were classified.", value=self.points)
        family = HistogramMetricFamily(
            "separatrix_request_duration_seconds",
            "From a request's arrival to the end of its answer.",
            labels=["method", "route", "status"],
        )
        for ((method, path), status), durations in self._durations.items():
            buckets = [*zip(_ENDS, accumulate(durations.counts), strict=True)]
            family.add_metric([method, path, str(status)], buckets, durations.sum_s)
        yield family


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """The service's figures, in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(request.app.state.services.metrics)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
