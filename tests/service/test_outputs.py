import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service import outputs
from service.access.keys import KeyFile


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    outputs.write(tmp_path / "new", b"content")
    assert (tmp_path / "new").read_bytes() == b"content"
    assert mode(tmp_path / "new") == mode(tmp_path / "other")


def test_a_file_is_unchanged_if_its_content_cannot_be_made(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with outputs.new_file(path) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_to_a_missing_file_makes_the_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    outputs.write(tmp_path / "link", b"content")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"content"


def test_a_link_to_a_pipe_writes_into_the_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with ThreadPoolExecutor() as threads:
        read = threads.submit((tmp_path / "pipe").read_bytes)
        outputs.write(tmp_path / "link", b"content")
        assert read.result() == b"content"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into every folder")
def test_a_file_that_may_be_written_is_written_in_a_folder_that_may_not(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "file"
    path.write_bytes(b"old content")
    path.parent.chmod(0o500)
    outputs.write(path, b"new")
    path.parent.chmod(0o700)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["none/file", "folder", "file/below", "loop", "into-none"])
def test_an_error_names_the_path_that_the_user_named_and_nothing_is_left(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "into-none").symlink_to("none/file")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OSError, match=r"folder|directory|links") as raised:
        outputs.write(tmp_path / name, b"")
    assert raised.value.filename == str(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_error_while_a_file_is_written_names_its_path(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as raised, outputs.new_file(tmp_path / "file"):
        raise OSError(28, "No space left on device")
    assert raised.value.filename == str(tmp_path / "file")


def test_the_file_of_keys_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "keys.json").symlink_to("real.json")
    keys = KeyFile(tmp_path / "keys.json")
    keys.add("one", "admin")
    keys.add("two", "read")
    assert (tmp_path / "keys.json").is_symlink()
    assert mode(tmp_path / "real.json") == 0o600
    assert [key.name for key in keys.read() or []] == ["one", "two"]
