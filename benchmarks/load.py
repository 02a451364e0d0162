"""Requests that one server process answers in a second, as a share of bare uvicorn's: load from wrk, over loopback.

These tables are skipped if wrk, a package of most Linux distributions, is not installed.
"""

import json
import re
import shutil
import statistics
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np
from rich.progress import track
from rich.table import Table

from benchmarks.servers import running, servers
from benchmarks.tables import console

ROUNDS = 5
SECONDS = 3


@dataclass(frozen=True)
class Load:
    """A request, and the number of connections that send it at the same time."""

    title: str
    connections: int
    path: str = "/predict"
    content: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    points: int = 1


def run_wrk(address: str, load: Load, folder: Path, seconds: int) -> str:
    """Runs wrk for some seconds, and returns its report.

    Raises:
        RuntimeError: a connection failed, or a response was neither 2xx nor 3xx.
    """
    process = wrk_process(address, load, folder, seconds)
    report, _ = process.communicate()
    if process.returncode or "Non-2xx" in report or "Socket errors" in report:
        raise RuntimeError(f"{load.title}: {report}")
    return report


def wrk_process(address: str, load: Load, folder: Path, seconds: int) -> "subprocess.Popen[str]":
    """Starts wrk, which sends requests for `seconds`. Its standard output is its report."""
    folder.mkdir(exist_ok=True)
    script = [f"wrk.headers[{name!r}] = {value!r}" for name, value in load.headers]
    if load.content is not None:
        (folder / "body").write_bytes(load.content)
        script += ['wrk.method = "POST"', f"wrk.body = io.open({str(folder / 'body')!r}, 'rb'):read('*a')"]
    (folder / "load.lua").write_text("\n".join(script))
    command = ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds}", "--latency", "-s", str(folder / "load.lua")]
    return subprocess.Popen([*command, address + load.path], stdout=subprocess.PIPE, text=True)


def per_second(address: str, load: Load, folder: Path) -> float:
    """The number of requests answered in a second."""
    report = run_wrk(address, load, folder, SECONDS)
    return float(re.findall(r"Requests/sec:\s+([\d.]+)", report)[0])


def latency_under_load(addresses: dict[str, str], folder: Path, small: Load, others: dict[str, Load]) -> None:
    """Prints the latency of a small request, alone and while Separatrix answers large requests.

    The same is measured for bare uvicorn in another process: it shows how much is due to a lack of CPU cores.
    """
    table = Table(title=f"{small.title}, one connection", title_justify="left")
    for heading in (
        "while Separatrix answers",
        "p50, Separatrix",
        "p99, Separatrix",
        "p50, bare uvicorn",
        "p99, bare uvicorn",
    ):
        table.add_column(heading, justify="right" if heading[0] == "p" else "left")
    for name, other in {"nothing else": None, **others}.items():
        rows = []
        for _ in track(range(ROUNDS), description=f"{small.title} during {name}", console=console, transient=True):
            row = []
            for address in (addresses["Separatrix"], addresses["bare uvicorn"]):
                with ThreadPoolExecutor() as threads:
                    large = (addresses["Separatrix"], other, folder / "other", SECONDS + 1)
                    busy = threads.submit(run_wrk, *large) if other else None
                    report = run_wrk(address, small, folder / "one", SECONDS)
                    if busy:
                        busy.result()
                row += [percentile_ms(report, share) for share in ("50%", "99%")]
            rows.append(row)
        table.add_row(name, *(f"{statistics.median(column):.2f} ms" for column in zip(*rows, strict=True)))
    console.print(table)


def percentile_ms(report: str, share: str) -> float:
    """A latency percentile from a report of wrk, which gives it in us, ms or s."""
    number, unit = re.findall(rf"{share}\s+([\d.]+)(us|ms|s)\b", report)[0]
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def throughput_table(load: Load, addresses: dict[str, str]) -> None:
    """Prints the throughput of each server, measured in turns so that a drift of the machine's speed affects all."""
    rates: dict[str, list[float]] = {name: [] for name in addresses}
    with tempfile.TemporaryDirectory() as folder:
        for _ in track(range(ROUNDS), description=load.title, console=console, transient=True):
            for name, address in addresses.items():
                rates[name].append(per_second(address, load, Path(folder)))
    table = Table(title=f"{load.title}, {load.connections} connections", title_justify="left")
    for heading in ("", "requests a second", "points a second", "share of bare uvicorn"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, measured in rates.items():
        shares = [rate / first for rate, first in zip(measured, rates["bare uvicorn"], strict=True)]
        median = statistics.median(measured)
        points = f"{median * load.points:,.0f}" if load.content else ""
        table.add_row(name, f"{median:,.0f}", points, f"{statistics.median(shares):.2f}")
    console.print(table)


def inference_protocol(random: np.random.Generator, points: int, connections: int) -> Load:
    """An inference request of the Open Inference Protocol as tritonclient sends it, for the probabilities in binary."""
    xy_N2 = random.uniform(-5, 5, (points, 2)).astype("<f4")
    parameters = {"binary_data_size": xy_N2.nbytes}
    head = {
        "inputs": [{"name": "points", "shape": [points, 2], "datatype": "FP32", "parameters": parameters}],
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    title = f"{points:,} point{'s' * (points > 1)} as a binary tensor of the Open Inference Protocol"
    headers = (("Inference-Header-Content-Length", str(len(text))), ("Content-Type", "application/octet-stream"))
    content = text + xy_N2.tobytes()
    return Load(title, connections, "/v2/models/plane/infer", content, headers, points)


def main(data_dir: Path) -> None:
    """Prints all tables, for a data folder with a model named `plane`."""
    if shutil.which("wrk") is None:
        console.print("wrk is not installed: skipping the load tables")
        return
    random = np.random.default_rng(0)
    with ExitStack() as stack:
        addresses = {
            name: stack.enter_context(running(server, 8770 + i)).address
            for i, (name, server) in enumerate(servers(data_dir).items())
        }
        two = {name: addresses[name] for name in ("bare uvicorn", "Separatrix")}
        loads = {
            points: Load(
                f"{points:,} points as JSON",
                connections,
                content=json.dumps(
                    {"model": "plane", "points": random.uniform(-5, 5, (points, 2)).round(4).tolist()}
                ).encode(),
                headers=(("Content-Type", "application/json"),),
                points=points,
            )
            for points, connections in ((1, 32), (1_000, 4), (100_000, 1))
        }
        throughput_table(loads[1], addresses)
        throughput_table(loads[1_000], addresses)
        np.save(data_dir / "points.npy", random.uniform(-5, 5, (100_000, 2)).astype(np.float32))
        npy = Load(
            "100,000 points as .npy",
            2,
            "/predict?model=plane",
            (data_dir / "points.npy").read_bytes(),
            (("Content-Type", "application/x-npy"), ("Accept", "application/x-npy")),
            points=100_000,
        )
        throughput_table(npy, two)
        for points, connections in ((1, 32), (100_000, 2)):
            throughput_table(inference_protocol(random, points, connections), two)
        grid = "/boundary-grid?model=plane&resolution=200"
        known = (("If-None-Match", httpx.get(two["Separatrix"] + grid).headers["etag"]),)
        throughput_table(Load("a boundary grid that the client has cached (304)", 32, grid, headers=known), two)
        throughput_table(Load("a boundary grid in the response cache, 200 x 200 as PNG", 8, grid + "&format=png"), two)
        others = {"100,000 points as .npy": replace(npy, connections=1), "100,000 points as JSON": loads[100_000]}
        with tempfile.TemporaryDirectory() as folder:
            latency_under_load(two, Path(folder), replace(loads[1], connections=1), others)
