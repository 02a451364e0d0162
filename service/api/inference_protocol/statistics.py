"""How many inference requests this process has answered, and how long they took, by version."""

import time
from dataclasses import dataclass
from typing import Any

from service.registry.registry import LoadedVersion

MAX_VERSIONS = 10_000
"""Versions whose statistics are kept. Beyond it, the one that was asked first is forgotten."""


@dataclass(slots=True)
class VersionStatistics:
    """The statistics of one version. Plain numbers, since adding to them shows in a request of 50 us.

    Attributes:
        points: how many points were classified.
        successes, failures: how many requests were answered, and refused.
        success_ns, failure_ns: their total time, from the arrival of the body to the response.
        decoding_ns, inference_ns, encoding_ns: the parts of `success_ns`.
        answered_ns: when the last request was answered (`time.time_ns`); 0 if none was.
    """

    points: int = 0
    successes: int = 0
    failures: int = 0
    success_ns: int = 0
    failure_ns: int = 0
    decoding_ns: int = 0
    inference_ns: int = 0
    encoding_ns: int = 0
    answered_ns: int = 0

    def add(self, points: int, arrived_ns: int, decoded_ns: int, computed_ns: int, encoded_ns: int) -> None:
        """Counts a successful request. The times are from `time.perf_counter_ns`."""
        self.points += points
        self.successes += 1
        self.success_ns += encoded_ns - arrived_ns
        self.decoding_ns += decoded_ns - arrived_ns
        self.inference_ns += computed_ns - decoded_ns
        self.encoding_ns += encoded_ns - computed_ns
        self.answered_ns = time.time_ns()

    def add_failure(self, ns: int) -> None:
        """Counts a request that was refused."""
        self.failures += 1
        self.failure_ns += ns

    def to_json(self, model: str, version: int) -> dict[str, Any]:
        """The statistics as the protocol shows them. Requests wait in no queue, and no responses are cached."""
        return {
            "name": model,
            "version": str(version),
            "last_inference": self.answered_ns // 1_000_000,
            "inference_count": self.points,
            "execution_count": self.successes,
            "inference_stats": {
                "success": {"count": self.successes, "ns": self.success_ns},
                "fail": {"count": self.failures, "ns": self.failure_ns},
                "queue": {"count": self.successes, "ns": 0},
                "compute_input": {"count": self.successes, "ns": self.decoding_ns},
                "compute_infer": {"count": self.successes, "ns": self.inference_ns},
                "compute_output": {"count": self.successes, "ns": self.encoding_ns},
                "cache_hit": {"count": 0, "ns": 0},
                "cache_miss": {"count": 0, "ns": 0},
            },
            "batch_stats": [],
        }


class Statistics:
    """The statistics of all versions that this process was asked for. Only the event loop may use them."""

    def __init__(self) -> None:
        """Starts without statistics."""
        self._of: dict[tuple[str, int], VersionStatistics] = {}

    def of(self, version: LoadedVersion) -> VersionStatistics:
        """The statistics of a version, to be read or added to."""
        key = version.published.model, version.published.version
        found = self._of.get(key)
        if found is None:
            if len(self._of) >= MAX_VERSIONS:
                del self._of[next(iter(self._of))]
            found = self._of[key] = VersionStatistics()
        return found

    def to_json(self, model: str | None = None, version: int | None = None) -> list[dict[str, Any]]:
        """The statistics of all versions, of the versions of one model, or of one version, that were asked for."""
        return [
            found.to_json(*key)
            for key, found in sorted(self._of.items())
            if model in (None, key[0]) and version in (None, key[1])
        ]
