"""Processor time and memory of an idle service, and how soon it trains again: `python -m benchmarks.idle`.

Runs on Linux only.
"""

import re
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import httpx
import psutil

from benchmarks.servers import Running, running, separatrix

IDLE_S = 3
"""Seconds without work after which training processes end. The figures of the idle service do not depend on it."""

MEASURED_S = 60
ROUNDS = 5
TRAINING = {"publish": False, "data": {"dataset": "flower"}, "training": {"optimizer": "lbfgs"}}


def main() -> None:
    """Prints the figures of a new service: processor time and memory while it is idle, and the times of trainings."""
    with tempfile.TemporaryDirectory() as folder:
        server = separatrix(Path(folder), "--training-idle-s", str(IDLE_S))
        with running(server, 8157) as service, httpx.Client(base_url=service.address, timeout=60) as client:
            print(f"training processes just used: {memory(service)}")
            wait_until_idle(service)
            print(f"idle: {idle_share(service):.2%} of a core, {memory(service)}")
            cold, warm = [], []
            for _ in range(ROUNDS):
                cold.append(trained_s(client))
                warm += [trained_s(client) for _ in range(5)]
                wait_until_idle(service)
            print(f"POST /train to the ended job, cold: median {statistics.median(cold):.2f} s, all {rounded(cold)}")
            print(f"POST /train to the ended job, warm: median {1000 * statistics.median(warm):.0f} ms")
            print(f"load of this machine: {psutil.getloadavg()[0]:.1f} on {psutil.cpu_count()} cores")


def family(service: Running) -> list[psutil.Process]:
    """All processes of the service."""
    parent = psutil.Process(service.pid)
    return [parent, *parent.children(recursive=True)]


def processor_s(service: Running) -> float:
    """Processor time that the processes of the service have taken."""
    return sum(sum(process.cpu_times()[:2]) for process in family(service))


def wait_until_idle(service: Running) -> None:
    """Waits until the training processes have ended, and the fork server has imported torch and is idle."""
    time.sleep(2 * IDLE_S)
    while len(family(service)) > 3:
        time.sleep(1)
    before = -1.0
    while (used := processor_s(service)) - before > 0.2:
        before = used
        time.sleep(5)


def idle_share(service: Running) -> float:
    """The share of a core that all processes take together."""
    before = processor_s(service)
    time.sleep(MEASURED_S)
    return (processor_s(service) - before) / MEASURED_S


def memory(service: Running) -> str:
    """The proportional memory of all processes, and their memory if no other program used the same libraries."""
    processes = family(service)
    proportional = sum(process.memory_full_info().pss for process in processes) / 2**20
    anonymous, files = 0, defaultdict[str, int](int)
    for process in processes:
        anonymous += int(re.search(r"Pss_Anon: +(\d+)", Path(f"/proc/{process.pid}/smaps_rollup").read_text())[1])
        for mapping in process.memory_maps():
            files[mapping.path] = max(files[mapping.path], (mapping.rss - mapping.anonymous) // 2**10)
    alone = (anonymous + sum(files.values())) / 2**10
    return f"{proportional:.0f} MiB of proportional memory in {len(processes)} processes ({alone:.0f} MiB if alone)"


def trained_s(client: httpx.Client) -> float:
    """Seconds from `POST /train` to the response with the ended job."""
    began = time.perf_counter()
    job = client.post("/train", json=TRAINING, headers={"Prefer": "wait=50"}).raise_for_status().json()
    assert job["status"] == "succeeded", job
    return time.perf_counter() - began


def rounded(seconds: list[float]) -> str:
    """The numbers with two decimals, separated by commas."""
    return ", ".join(f"{one:.2f}" for one in seconds)


if __name__ == "__main__":
    main()
