"""What one server process answers in a second, as a share of what bare uvicorn does: wrk's load, over loopback.

wrk comes from the system's package manager; without it these rows are left out.
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
    """One kind of request, sent by some connections at once."""

    title: str
    connections: int
    path: str = "/predict"
    content: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    points: int = 1


def run_wrk(address: str, load: Load, folder: Path, seconds: int) -> str:
    """What wrk says of so many seconds under a load.

    Raises:
        RuntimeError: a request was not answered with 2xx or 3xx.
    """
    folder.mkdir(exist_ok=True)
    script = [f"wrk.headers[{name!r}] = {value!r}" for name, value in load.headers]
    if load.content is not None:
        (folder / "body").write_bytes(load.content)
        script += ['wrk.method = "POST"', f"wrk.body = io.open({str(folder / 'body')!r}, 'rb'):read('*a')"]
    (folder / "load.lua").write_text("\n".join(script))
    command = ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds}", "--latency", "-s", str(folder / "load.lua")]
    said = subprocess.run([*command, address + load.path], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"{load.title}: {said}")
    return said


def per_second(address: str, load: Load, folder: Path) -> float:
    """Requests answered in a second."""
    said = run_wrk(address, load, folder, SECONDS)
    return float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0])


def beside(addresses: dict[str, str], folder: Path, one: Load, others: dict[str, Load]) -> None:
    """Measures and prints how long a small request takes, alone and while Separatrix answers large ones.

    That of bare uvicorn, a process of its own, shows how much of it is the machine's want of cores.
    """
    shown = Table(title=f"{one.title}, one connection", title_justify="left")
    for heading in ("while Separatrix answers", "p50, ours", "p99, ours", "p50, bare uvicorn", "p99, bare uvicorn"):
        shown.add_column(heading, justify="right" if heading[0] == "p" else "left")
    for name, other in {"nothing else": None, **others}.items():
        found = []
        for _ in track(range(ROUNDS), description=f"{one.title} beside {name}", console=console, transient=True):
            row = []
            for address in (addresses["Separatrix"], addresses["bare uvicorn"]):
                with ThreadPoolExecutor() as threads:
                    large = (addresses["Separatrix"], other, folder / "other", SECONDS + 1)
                    busy = threads.submit(run_wrk, *large) if other else None
                    said = run_wrk(address, one, folder / "one", SECONDS)
                    if busy:
                        busy.result()
                row += [milliseconds(said, share) for share in ("50%", "99%")]
            found.append(row)
        shown.add_row(name, *(f"{statistics.median(column):.2f} ms" for column in zip(*found, strict=True)))
    console.print(shown)


def milliseconds(said: str, share: str) -> float:
    """A percentile of wrk's, which it gives in us, ms or s."""
    number, unit = re.findall(rf"{share}\s+([\d.]+)(us|ms|s)\b", said)[0]
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def table(load: Load, addresses: dict[str, str]) -> None:
    """Measures and prints: the servers in turns, so that the machine drifts for all."""
    rates: dict[str, list[float]] = {name: [] for name in addresses}
    with tempfile.TemporaryDirectory() as folder:
        for _ in track(range(ROUNDS), description=load.title, console=console, transient=True):
            for name, address in addresses.items():
                rates[name].append(per_second(address, load, Path(folder)))
    shown = Table(title=f"{load.title}, {load.connections} connections", title_justify="left")
    for heading in ("", "requests a second", "points a second", "share of bare uvicorn"):
        shown.add_column(heading, justify="left" if not heading else "right")
    for name, found in rates.items():
        shares = [rate / first for rate, first in zip(found, rates["bare uvicorn"], strict=True)]
        median = statistics.median(found)
        points = f"{median * load.points:,.0f}" if load.content else ""
        shown.add_row(name, f"{median:,.0f}", points, f"{statistics.median(shares):.2f}")
    console.print(shown)


def main(data_dir: Path) -> None:
    """The tables, for a data folder that has a model `plane`."""
    if shutil.which("wrk") is None:
        console.print("wrk is not installed: its rows are left out")
        return
    random = np.random.default_rng(0)
    with ExitStack() as stack:
        everyone = {
            name: stack.enter_context(running(server, 8770 + i)).address
            for i, (name, server) in enumerate(servers(data_dir).items())
        }
        ours = {name: everyone[name] for name in ("bare uvicorn", "Separatrix")}
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
        table(loads[1], everyone)
        table(loads[1_000], everyone)
        np.save(data_dir / "points.npy", random.uniform(-5, 5, (100_000, 2)).astype(np.float32))
        npy = Load(
            "100,000 points as .npy",
            2,
            "/predict?model=plane",
            (data_dir / "points.npy").read_bytes(),
            (("Content-Type", "application/x-npy"), ("Accept", "application/x-npy")),
            points=100_000,
        )
        table(npy, ours)
        grid = "/boundary-grid?model=plane&resolution=200"
        known = (("If-None-Match", httpx.get(ours["Separatrix"] + grid).headers["etag"]),)
        table(Load("a boundary grid that the client has (304)", 32, grid, headers=known), ours)
        table(Load("a boundary grid that is kept, 200 x 200 as PNG", 8, grid + "&format=png"), ours)
        others = {"100,000 points as .npy": replace(npy, connections=1), "100,000 points as JSON": loads[100_000]}
        with tempfile.TemporaryDirectory() as folder:
            beside(ours, Path(folder), replace(loads[1], connections=1), others)
