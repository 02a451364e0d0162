"""Tasks that need torch, and what becomes of the caller when their processes end badly."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import psutil
import pytest

from models.specs import InvalidInput
from service.errors import TaskFailed
from service.processes.torch_tasks import TorchTasks
from tests.serving import wait_until

pytestmark = pytest.mark.processes

TASKS = "tests.service.processes.tasks:"


@pytest.fixture(scope="module")
def tasks() -> Iterator[TorchTasks]:
    tasks = TorchTasks(niceness=0, memory_bytes=2**28)
    yield tasks
    tasks.close()


def test_a_task_has_torch_and_returns_bytes(tasks: TorchTasks) -> None:
    assert anyio.run(tasks.run, f"{TASKS}has_torch", "torch:") == b"torch: True"


def test_what_a_task_refuses_names_the_field(tasks: TorchTasks) -> None:
    with pytest.raises(InvalidInput, match=r"points\.3: must be better"):
        anyio.run(tasks.run, f"{TASKS}refuse")


def test_an_internal_error_of_a_task_is_one_of_the_service(tasks: TorchTasks) -> None:
    with pytest.raises(RuntimeError, match="a task failed"):
        anyio.run(tasks.run, f"{TASKS}fail")


def test_the_death_of_a_process_is_reported_and_the_next_task_runs(tasks: TorchTasks) -> None:
    with pytest.raises(TaskFailed, match="died"):
        anyio.run(tasks.run, f"{TASKS}die")
    assert anyio.run(tasks.run, f"{TASKS}has_torch", "torch:") == b"torch: True"


def test_a_task_has_a_limit_of_memory(tasks: TorchTasks) -> None:
    with pytest.raises(TaskFailed, match="memory limit"):
        anyio.run(tasks.run, f"{TASKS}fill_memory")


def test_a_task_has_a_deadline(tmp_path: Path) -> None:
    tasks = TorchTasks(niceness=0, longest_s=0.2)
    with pytest.raises(TaskFailed, match="longer than"):
        anyio.run(tasks.run, f"{TASKS}write_pid_and_wait", str(tmp_path / "pid"))
    tasks.close()


def test_the_process_ends_when_its_caller_is_cancelled(tasks: TorchTasks, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    async def cancel_when_it_runs() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(tasks.run, f"{TASKS}write_pid_and_wait", str(pid_file)))
            await anyio.to_thread.run_sync(wait_until, pid_file.exists)
            group.cancel_scope.cancel()

    anyio.run(cancel_when_it_runs)
    wait_until(lambda: not psutil.pid_exists(int(pid_file.read_text())))
