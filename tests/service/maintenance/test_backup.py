"""`separatrix backup`, `restore` and `doctor`, on data folders with SQLite and with PostgreSQL."""

import hashlib
import io
import json
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.store.files import Files
from service.store.store import Store
from tests.databases import execute
from tests.postgres import PostgreSQL
from tests.service.commands.test_cli import separatrix
from tests.service.places import Place, all_versions
from tests.serving import DEADLINE_S, running, train

CSV = "u,v,kind\n" + "".join(f"{i % 7},{i % 5}.5,{('no', 'yes')[i % 2]}\n" for i in range(40))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a model, an alias and a stored dataset. Tests copy it."""
    folder = tmp_path_factory.mktemp("filled")
    (folder / "points.csv").write_text(CSV)
    data = folder / "data"
    assert separatrix("datasets", "add", str(folder / "points.csv"), "--name", "mine", data=data).exit_code == 0
    for _ in range(2):
        assert separatrix("train", "--dataset", "mine", "--model", "m", "--epochs", "5", data=data).exit_code == 0
    assert separatrix("alias", "m", "production", "1", data=data).exit_code == 0
    return data


@pytest.fixture
def data(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "data"))


def backed_up(data: Path) -> Path:
    archive = data.parent / "backup.tar"
    done = separatrix("backup", str(archive), data=data)
    assert done.exit_code == 0, done.stderr
    return archive


def predictions(data: Path, version: str) -> str:
    done = separatrix("predict", "m", "--point", "0.5,-0.25", "--version", version, data=data)
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_restored_data_folder_answers_as_the_original_and_trains_on(data: Path, tmp_path: Path) -> None:
    archive, copy = backed_up(data), tmp_path / "copy"
    done = separatrix("restore", str(archive), data=copy)
    assert done.exit_code == 0, done.stderr
    for version in ("1", "2", "production"):
        assert predictions(copy, version) == predictions(data, version)
    shown = [separatrix("datasets", "show", "mine", data=folder).stdout for folder in (copy, data)]
    assert shown[0] == shown[1]
    with running(copy) as client:
        assert train(client, "m", data={"dataset": "mine"})["version"] == 3
        assert [job["version"] for job in client.get("/jobs").json()["data"]] == [3, 2, 1]
    assert [path for path in copy.parent.iterdir() if path.name.startswith(".restoring")] == []


@pytest.mark.slow
def test_a_backup_can_be_restored_into_an_empty_folder_that_must_stay_such_as_a_volume(
    data: Path, tmp_path: Path
) -> None:
    archive, volume, link = backed_up(data), tmp_path / "volume", tmp_path / "link"
    (volume / "lost+found").mkdir(parents=True)
    link.symlink_to(volume)
    before = volume.stat().st_ino
    done = separatrix("restore", str(archive), data=link)
    assert done.exit_code == 0, done.stderr
    assert volume.stat().st_ino == before
    assert link.is_symlink()
    assert predictions(link, "1") == predictions(data, "1")
    assert [path for path in volume.iterdir() if path.name.startswith(".restoring")] == []


@pytest.mark.slow
def test_a_backup_of_a_running_service_has_all_of_a_moment(tmp_path: Path) -> None:
    with running(tmp_path / "data") as client:
        train(client, "before")
        endless = {"model": "during", "data": {"dataset": "flower"}, "training": {"epochs": 10**6}}
        job = client.post("/train", json=endless).json()
        archive = backed_up(tmp_path / "data")
        client.post(f"{job['links']['self']}/cancel").raise_for_status()
        train(client, "after")
    assert separatrix("restore", str(archive), data=tmp_path / "copy").exit_code == 0
    place = Place.of_folder(tmp_path / "copy")
    assert [version.model for version in all_versions(place.store)] == ["before"]
    (unended,) = (job for job in place.store.jobs.page(limit=9)[0] if not job.state.ended)
    assert unended.spec.model == "during"
    place.store.close()


@pytest.mark.postgres
def test_rows_move_between_sqlite_and_postgresql(data: Path, tmp_path: Path, postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    done = separatrix("restore", str(backed_up(data)), "--database-url", url, data=tmp_path / "copy")
    assert done.exit_code == 0, done.stderr
    with running(tmp_path / "copy", database_url=url) as client:
        assert train(client, "m")["version"] == 3
    archive = tmp_path / "second.tar"
    assert separatrix("backup", str(archive), "--database-url", url, data=tmp_path / "copy").exit_code == 0
    assert separatrix("restore", str(archive), data=tmp_path / "third").exit_code == 0
    assert predictions(tmp_path / "third", "1") == predictions(data, "1")
    done = separatrix("restore", str(archive), "--database-url", url, data=tmp_path / "fourth")
    assert (done.exit_code, "The database already has data." in done.stderr) == (1, True)
    assert not (tmp_path / "fourth").exists()


def written(path: Path, *members: tuple[str, bytes], revision: str = "0010", layout: int = 1) -> Path:
    """An archive with these members after its manifest."""
    manifest = json.dumps({"format": layout, "revision": revision}).encode()
    with tarfile.open(path, "w") as archive:
        for name, content in (("manifest.json", manifest), *members):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def sums(*members: tuple[str, bytes], revision: str = "0010") -> tuple[str, bytes]:
    """The last member of an archive."""
    manifest = json.dumps({"format": 1, "revision": revision}).encode()
    lines = [
        f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in (("manifest.json", manifest), *members)
    ]
    return "sha256sums.txt", "\n".join(lines).encode()


@pytest.mark.slow
def test_a_backup_of_an_earlier_release_is_migrated(tmp_path: Path) -> None:
    rows = ("rows.jsonl", json.dumps(["models", {"name": "m", "newest_version": 7, "keep_versions": None}]).encode())
    archive = written(tmp_path / "backup.tar", rows, sums(rows))
    done = separatrix("restore", str(archive), data=tmp_path / "data")
    assert done.exit_code == 0, done.stderr
    done = separatrix("train", "--model", "m", "--epochs", "5", data=tmp_path / "data")
    assert "Published m version 8" in done.stderr


def link(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("manifest.json")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)


ROWS = ("rows.jsonl", b"")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b"hello" * 1000), "is no tar file, or damaged"),
        (lambda path: written(path, ROWS), "is not complete: its end is missing"),
        (lambda path: written(path, ROWS, sums(("rows.jsonl", b"{}"))), "is damaged: 'rows.jsonl' has another content"),
        (lambda path: written(path, ("../x", b""), sums()), "has a member that a backup does not have: '../x'"),
        (lambda path: written(path, ("checkpoints/../x", b""), sums()), "has a member that a backup does not have"),
        (lambda path: written(path, ("/etc/x", b""), sums()), "has a member that a backup does not have"),
        (lambda path: written(path, layout=2), "was written by a newer release"),
        (lambda path: written(path, ROWS, sums(ROWS, revision="9999"), revision="9999"), "newer release"),
        (link, "has a member that is no file"),
    ],
)
def test_an_archive_that_is_not_a_backup_is_refused_and_leaves_nothing(
    make: Callable[[Path], Any], reason: str, tmp_path: Path
) -> None:
    make(tmp_path / "backup.tar")
    done = separatrix("restore", str(tmp_path / "backup.tar"), data=tmp_path / "data")
    assert (done.exit_code > 0, reason in done.stderr) == (True, True), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["backup.tar"]


def test_a_backup_and_a_restoration_replace_nothing(data: Path) -> None:
    archive = backed_up(data)
    before = archive.read_bytes()
    again = separatrix("backup", str(archive), data=data)
    assert (again.exit_code, "exists already; choose another name" in again.stderr) == (1, True)
    assert archive.read_bytes() == before
    over = separatrix("restore", str(archive), data=data)
    assert (over.exit_code, "is not empty; restore into a new one" in over.stderr) == (1, True)


@pytest.mark.slow
def test_restore_and_doctor_report_the_folder_that_a_killed_restoration_left(data: Path, tmp_path: Path) -> None:
    archive, volume = backed_up(data), tmp_path / "volume"
    inside, beside = volume / ".restoring-inside", tmp_path / ".restoring-beside"
    for left in (inside, beside):
        (left / "data").mkdir(parents=True)
    refused = separatrix("restore", str(archive), data=volume)
    assert refused.exit_code == 1
    assert "an unfinished restoration left .restoring-inside; remove it unless" in refused.stderr
    shutil.rmtree(inside)
    done = separatrix("restore", str(archive), data=volume)
    assert done.exit_code == 0
    assert f"an unfinished restoration left {beside}. Remove it" in done.stderr
    assert f"An unfinished restoration left {beside}." in separatrix("doctor", data=volume).stdout
    shutil.rmtree(beside)
    assert "unfinished" not in separatrix("doctor", data=volume).stdout


@pytest.mark.slow
def test_only_the_owner_may_read_a_backup_and_a_data_folder(data: Path, tmp_path: Path) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    archive = backed_up(data)
    assert mode(archive) == 0o600
    assert separatrix("restore", str(archive), data=tmp_path / "new").exit_code == 0
    assert mode(tmp_path / "new") == 0o700
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o750)
    assert separatrix("restore", str(archive), data=tmp_path / "shared").exit_code == 0
    assert mode(tmp_path / "shared") == 0o750, "an empty folder keeps its mode"
    Files(tmp_path / "made")
    assert mode(tmp_path / "made") == 0o700


def test_a_backup_is_written_through_a_link_and_creates_no_folder(data: Path, tmp_path: Path) -> None:
    (tmp_path / "link.tar").symlink_to("real.tar")
    done = separatrix("backup", str(tmp_path / "link.tar"), data=data)
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "link.tar").readlink() == Path("real.tar")
    assert (tmp_path / "real.tar").stat().st_size > 1_000
    missing = tmp_path / "none" / "backup.tar"
    refused = separatrix("backup", str(missing), data=data)
    assert (refused.exit_code, refused.stderr.strip()) == (1, f"separatrix: {missing}: No such file or directory")
    assert not missing.parent.exists()


@pytest.mark.slow
@pytest.mark.processes
def test_a_command_on_a_full_disk_says_in_one_line_which_one(data: Path, tmp_path: Path) -> None:
    def on_full_disk(*arguments: str) -> tuple[int, str]:
        limited = 'ulimit -f 4; exec "$@"'  # larger files cannot be written, as if the disk were full
        command = ["sh", "-c", limited, "sh", sys.executable, "-m", "service", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        return done.returncode, done.stderr

    archive, new = backed_up(data), tmp_path / "new"
    assert on_full_disk("restore", str(archive), "--data-dir", str(new)) == (1, f"separatrix: {new}: File too large\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar", "data"]
    full = "separatrix: The database is unavailable: The disk of the database is full. Free some space on it.\n"
    assert on_full_disk("models", "--data-dir", str(data)) == (1, full)


def test_the_doctor_finds_nothing_wrong_with_a_good_folder(data: Path) -> None:
    done = separatrix("doctor", data=data)
    assert done.exit_code == 0, done.stdout
    assert "ok      2 of 2 versions are intact." in done.stdout
    assert "error" not in done.stdout


@pytest.mark.slow
def test_the_doctor_names_damaged_versions_and_missing_points_and_a_backup_keeps_the_rest(data: Path) -> None:
    store = Store(Files(data).database_url)
    first, second = all_versions(store)
    store.close()
    folder = data / "checkpoints" / first.checkpoint_id
    (folder / "network.safetensors").write_bytes(b"damaged")
    shutil.rmtree(data / "checkpoints" / second.checkpoint_id)
    for path in (data / "datasets").glob("set-*"):
        path.unlink()
    done = separatrix("doctor", data=data)
    assert done.exit_code == 1
    assert "error   Version 1 of m is damaged: network.safetensors" in done.stdout
    assert "error   Version 2 of m is damaged" in done.stdout
    assert "error   The points of dataset mine are damaged: " in done.stdout
    assert "0 of 2 versions are intact" in done.stdout
    made = separatrix("backup", str(data.parent / "backup.tar"), data=data)
    assert (made.exit_code, "2 versions" in made.stdout) == (1, True)
    for said in ("Version 1 of m is damaged: network.safetensors", "Version 2 of m", "The points of dataset mine"):
        assert f"separatrix: {said}" in made.stderr, made.stderr
    assert "3 damaged parts are in the archive as they are." in made.stderr
    assert separatrix("restore", str(data.parent / "backup.tar"), data=data.parent / "copy").exit_code == 0


def the_file(data: Path, pattern: str) -> Path:
    """The first file that matches."""
    return min(data.glob(pattern))


def change_a_point(path: Path) -> None:
    """Changes a coordinate in a file of points, which keeps its format."""
    content = path.read_bytes()
    at = content.index(b"\n", content.index(b"NUMPY")) + 3
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])


@pytest.mark.slow
def test_the_doctor_finds_all_for_which_the_service_answers_503(data: Path) -> None:
    assert separatrix("train", "--dataset", "mine", "--from", "m", "--epochs", "5", data=data).exit_code == 0
    assert separatrix("keys", "add", "me", "--role", "read", data=data).exit_code == 0
    assert separatrix("doctor", data=data).exit_code == 0
    change_a_point(the_file(data, "datasets/set-*.npz"))
    the_file(data, "datasets/[0-9a-f]*.npz").unlink()
    the_file(data, "checkpoints/*/training_range.safetensors").write_bytes(b"junk")
    the_file(data, "starts/*").unlink()
    (data / "keys.json").write_bytes(b"junk")
    done = separatrix("doctor", data=data)
    assert done.exit_code == 1
    for said in ("its points", "its training range", "the weights that it started from"):
        assert f" has lost {said}: " in done.stdout, done.stdout
    for said in ("The points of dataset mine are damaged", f"{data}/keys.json is damaged: restore it"):
        assert f"error   {said}" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            lambda data: (data / "separatrix.db").write_bytes(b"no database" * 500),
            "The database file is damaged, or is not a database. Restore a backup into a new data folder.",
        ),
        (shutil.rmtree, "the data folder does not exist"),
        (
            lambda data: execute(Files(data).database_url, "UPDATE versions SET created_at = created_at + 86400"),
            "the clock went back",
        ),
        (
            lambda data: execute(Files(data).database_url, "UPDATE alembic_version SET version_num = '9999'"),
            "newer release of Separatrix",
        ),
    ],
)
def test_the_doctor_says_what_else_is_wrong(damage: Callable[[Path], Any], told: str, data: Path) -> None:
    damage(data)
    done = separatrix("doctor", data=data)
    assert told in done.stdout + done.stderr, done.stdout + done.stderr
