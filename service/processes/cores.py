"""The processor cores that a process may use."""

import os


def usable_cores() -> int:
    """The number of cores that this process may run on. Quotas of a container do not change it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
