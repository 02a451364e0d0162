"""Commands and services that are started with the wrong database: they say so, and neither remove nor make anything."""

import shutil
from pathlib import Path

import pytest

from tests.postgres import PostgreSQL
from tests.service.commands.test_cli import separatrix
from tests.service.store.test_pairing import content
from tests.serving import running, train

CSV = "u,v,kind\n0,1,a\n1,0,b\n2,2,a\n"
COMMANDS = (("serve", "--port", "0"), ("models",), ("train", "--epochs", "1"), ("backup", "unwritten.tar"))
DATABASE = "separatrix.db"


def filled(folder: Path, *options: str) -> Path:
    """A data folder with a stored dataset."""
    (folder / "points.csv").write_text(CSV)
    done = separatrix("datasets", "add", str(folder / "points.csv"), "--name", "mine", *options, data=folder / "data")
    assert done.exit_code == 0, done.stderr
    return folder / "data"


def assert_nothing_works(data: Path, reason: str, *options: str) -> None:
    """Asserts that a start and commands are refused for that reason, and the doctor gives it, without any change."""
    before = content(data)
    for command in COMMANDS:
        done = separatrix(*command, *options, data=data)
        assert (done.exit_code, done.stderr.strip().count("\n")) == (1, 0), done.stderr
        assert reason in done.stderr
        assert "restore a backup" in done.stderr
    done = separatrix("doctor", *options, data=data)
    assert (done.exit_code, f"error   The database cannot be opened. {reason}" in done.stdout) == (1, True), done.stdout
    assert content(data) == before


@pytest.mark.slow
def test_a_lost_database_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    data = filled(tmp_path)
    (data / DATABASE).unlink()
    reason = f"{data}/{DATABASE} is missing or empty, but the data folder {data} was used with one."
    assert_nothing_works(data, reason)
    (data / DATABASE).touch()
    assert_nothing_works(data, reason)


@pytest.mark.slow
@pytest.mark.postgres
def test_a_folder_of_postgresql_does_not_start_without_its_database(postgresql: PostgreSQL, tmp_path: Path) -> None:
    url, other = postgresql.new_database(), postgresql.new_database()
    data = filled(tmp_path, "--database-url", url)
    assert_nothing_works(data, f"{data}/{DATABASE} is missing or empty, but the data folder {data} was used with one.")
    name = other.replace("postgres@", "")
    assert_nothing_works(
        data, f"The data folder {data} belongs to another database than {name}.", "--database-url", other
    )


@pytest.mark.slow
def test_a_copy_of_folder_and_database_still_belong_together(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(filled(tmp_path), tmp_path / "copy"))
    assert separatrix("doctor", data=copy).exit_code == 0


@pytest.mark.slow
def test_a_restored_folder_belongs_to_its_own_database_and_not_to_the_original(tmp_path: Path) -> None:
    data, copy, archive = filled(tmp_path), tmp_path / "copy", str(tmp_path / "backup.tar")
    for done in (separatrix("backup", archive, data=data), separatrix("restore", archive, data=copy)):
        assert done.exit_code == 0, done.stderr
    assert separatrix("datasets", "show", "mine", data=copy).exit_code == 0
    shutil.copyfile(data / DATABASE, copy / DATABASE)
    done = separatrix("datasets", "show", "mine", data=copy)
    assert (done.exit_code, "belongs to another database" in done.stderr) == (1, True)


@pytest.mark.slow
@pytest.mark.postgres
def test_two_services_share_a_database_with_a_folder_each_and_with_one(postgresql: PostgreSQL, tmp_path: Path) -> None:
    url = postgresql.new_database()
    with running(tmp_path / "a", database_url=url) as a, running(tmp_path / "b", database_url=url) as b:
        assert [one.get("/health/ready").status_code for one in (a, b)] == [200, 200]
        with running(tmp_path / "a", database_url=url, training_processes=0) as same:
            assert train(same, "m")["status"] == "succeeded"
