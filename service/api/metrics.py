"""What the service counts, for Prometheus."""

from collections.abc import MutableMapping
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

router = APIRouter(tags=["metrics"])

BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Upper ends of the buckets of durations: a point is answered in a tenth of a millisecond, a training in seconds."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that are counted by their own name; what else a client thinks of is counted as one."""


class Metrics:
    """The figures of one running service."""

    def __init__(self) -> None:
        """All at zero."""
        self.registry = CollectorRegistry()
        self._durations = Histogram(
            "separatrix_request_duration_seconds",
            "From a request's arrival to the end of its answer.",
            ["method", "route", "status"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self.points = Counter("separatrix_points_total", "Points that were classified.", registry=self.registry)
        self._children: dict[tuple[str, str, int], Histogram] = {}  # looked up thrice as fast as by their labels

    def observe(self, scope: MutableMapping[str, Any], status: int, duration_s: float) -> None:
        """Counts a request that has been answered. Paths that no route has are counted as one."""
        route = scope["path"] if "app" not in scope else getattr(scope.get("route"), "path", "unmatched")
        key = (scope["method"] if scope["method"] in METHODS else "other", route, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._durations.labels(*map(str, key))
        child.observe(duration_s)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """The service's figures, in Prometheus's text format."""
    return Response(generate_latest(request.app.state.services.metrics.registry), media_type=CONTENT_TYPE_LATEST)
