"""Full and read-only disks, damaged files, files of later versions: a clear message, and no further damage."""

import json
import logging
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from models.checkpoints.cards import Card, DamagedCheckpoint
from service.cli import app
from service.store.files import Files
from service.store.store import Store
from tests.contract.problems import assert_problem
from tests.databases import execute
from tests.models.exports.samples import sample
from tests.serving import running, train, wait_until


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """A function that mounts a file system and returns its folder."""
    folders = []

    def mount(*options: str | Path) -> Path:
        folder = tmp_path / f"disk{len(folders)}"
        folder.mkdir()
        done = subprocess.run(["mount", *options, folder], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"this user may not mount: {done.stderr}")
        folders.append(folder)
        return folder

    yield mount
    for folder in reversed(folders):
        subprocess.run(["umount", "-l", folder], check=True)


def fill(disk: Path) -> Path:
    """Fills a disk to its last byte. Returns the file that it wrote for that."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4_096))
    assert shutil.disk_usage(disk).free == 0
    return ballast


@pytest.mark.slow
def test_a_service_on_a_full_disk_answers_predictions_refuses_writes_and_goes_on_once_there_is_room(
    mounted: Callable[..., Path],
) -> None:
    disk = mounted("-t", "tmpfs", "-o", "size=8m", "tmpfs")
    with running(disk / "data") as client:
        train(client, "m")
        ballast = fill(disk)
        table = "x,y,label\n" + "".join(f"{n},1,{n % 2}\n" for n in range(5_000))
        for path, kind, body in (
            ("/train", "application/json", json.dumps({"model": "m", "data": {"dataset": "flower"}})),
            ("/datasets/d", "text/csv", table),
        ):
            answer = client.post(path, content=body, headers={"content-type": kind})
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
        job = client.post("/train", json={"model": "m", "data": {"dataset": "flower"}, "training": {"seed": 3}})
        assert_problem(job, 503, "store-unavailable")
        assert "disk of the database is full" in job.json()["detail"]
        assert client.post("/predict", json={"model": "m", "points": [[0, 0]]}).status_code == 200
        assert client.get("/health/ready").status_code == 200
        ballast.unlink()
        wait_until(lambda: client.post("/datasets/d", content=table, headers={"content-type": "text/csv"}).is_success)
        assert train(client, "m", training={"seed": 4})["status"] == "succeeded"
    store = Store(Files(disk / "data").database_url)
    assert store.faults() == []
    store.close()


@pytest.mark.slow
def test_a_service_that_starts_while_the_disk_is_full_answers_predictions(mounted: Callable[..., Path]) -> None:
    disk = mounted("-t", "tmpfs", "-o", "size=8m", "tmpfs")
    with running(disk / "data") as client:
        train(client, "m")
        fill(disk)
        with running(disk / "data") as started:
            assert started.post("/predict", json={"model": "m", "points": [[0, 0]]}).status_code == 200
            job = started.post("/train", json={"model": "m", "data": {"dataset": "flower"}})
            assert_problem(job, 503, "store-unavailable")


def serve(folder: Path) -> Result:
    """Runs `separatrix serve` in this process, on a data folder that it refuses."""
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    try:
        return CliRunner().invoke(app, ["serve", "--port", "0", "--data-dir", str(folder)])
    finally:
        root.handlers[:] = handlers  # the command logs to the standard error of its run
        root.setLevel(level)


def test_a_data_folder_on_a_read_only_disk_is_refused_with_the_reason(
    mounted: Callable[..., Path], tmp_path: Path, migrated: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copyfile(migrated, folder / "separatrix.db")
    disk = mounted("--bind", folder)
    subprocess.run(["mount", "-o", "remount,ro,bind", disk], check=True)
    done = serve(disk)
    assert done.exit_code == 1
    assert "cannot be" in done.stderr
    assert "in time" not in done.stderr
    assert [path.name for path in folder.iterdir()] == ["separatrix.db"]
    examined = CliRunner().invoke(app, ["doctor", "--data-dir", str(disk)])
    assert f"error   {disk} cannot be read and written" in examined.stdout
    assert "can be read and written" not in examined.stdout


def not_sqlite(path: Path) -> None:
    path.write_bytes(b"no database" * 500)


def torn(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for page in range(4_096, len(content), 4_096):
        content[page : page + 100] = b"\xff" * 100
    path.write_bytes(content)


def later(path: Path) -> None:
    execute(f"sqlite:///{path}", "UPDATE alembic_version SET version_num = '9999'")


@pytest.mark.parametrize(
    ("damage", "told"), [(not_sqlite, "is damaged"), (torn, "is damaged"), (later, "newer release of Separatrix")]
)
def test_a_database_that_cannot_be_used_is_refused_and_left_as_it_is(
    tmp_path: Path, migrated: Path, damage: Callable[[Path], None], told: str
) -> None:
    path = tmp_path / "separatrix.db"
    shutil.copyfile(migrated, path)
    damage(path)
    before = path.read_bytes()
    done = serve(tmp_path)
    assert (done.exit_code, told in done.stderr) == (1, True), done.stderr
    assert path.read_bytes() == before
    assert "migrating" not in done.stderr


def test_a_card_of_a_later_version_is_refused_with_the_reason() -> None:
    text = sample(points=1).exported.card.to_json()
    card = json.dumps(json.loads(text) | {"format": 3}).encode()
    with pytest.raises(DamagedCheckpoint, match="a newer release of Separatrix wrote it"):
        Card.from_json(card)
