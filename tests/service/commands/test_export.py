import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from service.commands.show import sparkline
from tests.service.commands.test_cli import separatrix


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two versions of a model."""
    folder = tmp_path_factory.mktemp("data")
    for seed in ("1", "2"):
        done = separatrix("train", "--epochs", "20", "--model", "net", "--seed", seed, "--hidden", "4,3", data=folder)
        assert done.exit_code == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_suffix_of_the_file_chooses_the_format(data: Path, tmp_path: Path) -> None:
    for name in ("net.pth", "net.module.pt", "net.safetensors", "net.onnx", "net.json", "net.py"):
        done = separatrix("export", "net", str(tmp_path / name), data=data)
        assert done.exit_code == 0, done.stderr
        assert done.stdout.startswith(f"{tmp_path / name}: version 2 of net. ")
    state = torch.load(tmp_path / "net.pth", weights_only=True)
    whole = torch.load(tmp_path / "net.module.pt", weights_only=False)
    assert all(torch.equal(state[key], value) for key, value in whole.state_dict().items())
    program = [sys.executable, "-I", tmp_path / "net.py"]
    labels = subprocess.run(program, input="x1,x2\n0.5,1\n", capture_output=True, text=True, check=True).stdout
    assert labels.startswith("label,p(red),p(blue)\n")


def test_a_version_and_a_format_can_be_named_and_a_file_goes_to_standard_output(data: Path) -> None:
    done = separatrix("export", "net", "-", "--format", "json", "--version", "1", data=data)
    assert json.loads(done.stdout)["version"] == 1


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["net", "net.pt"], 2, "format: must be given unless the name of the file ends in one of .pth, .module.pt"),
        (["net", "-"], 2, "format: must be given unless"),
        (["net", "net.bin", "--format", "tflite"], 2, "format: must be one of pth, module"),
        (["nobody", "net.py"], 1, "Model not found: "),
        (["net", "net.py", "--version", "9"], 1, "Version not found: "),
        (["net", "net.pth/net.py"], 1, "net.pth"),
        (["net", "none/net.py"], 1, "none/net.py: No such file or directory"),
        (["net", "folder.py"], 1, "folder.py: Is a directory"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(
    arguments: list[str], status: int, line: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pth").write_bytes(b"")
    (tmp_path / "folder.py").mkdir()
    done = separatrix("export", *arguments, data=data)
    assert done.exit_code == status
    assert done.stderr.startswith(f"separatrix: {line}")
    assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.py", "net.pth"]


@pytest.mark.slow
def test_a_file_that_exists_keeps_its_mode_and_a_link_stays_a_link(data: Path, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o640)
    for command, name in (("export", "link.json"), ("boundary", "link.svg"), ("compare", "link.png")):
        (tmp_path / name).symlink_to("real")
        models = ["net:1", "net:2"] if command == "compare" else ["net"]
        done = separatrix(command, *models, str(tmp_path / name), data=data)
        assert done.exit_code == 0, done.stderr
        assert (tmp_path / name).readlink() == Path("real")
        assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640
        assert (tmp_path / "real").read_bytes() != b"old"


def test_an_export_goes_into_a_pipe_and_does_not_replace_it(data: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as threads:
        read = threads.submit(pipe.read_bytes)
        done = separatrix("export", "net", str(pipe), data=data)
        assert done.exit_code == 0, done.stderr
        assert json.loads(read.result())["model"] == "net"
    assert pipe.is_fifo()


def test_show_summarizes_a_version_and_draws_the_histogram_of_each_layer(data: Path) -> None:
    done = separatrix("show", "net", data=data)
    assert done.exit_code == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert shown.startswith("net, version 2 network sequential 2-4-3-1, 31 parameters features 2, without names")
    assert "classes red, blue data flower, 400 points training sgd, learning rate 1, 20 epochs (completed)" in shown
    assert "points accuracy log loss training " in shown
    rows = [line.split() for line in done.stdout.splitlines() if line.split()[1:2] in (["Linear"], ["Tanh"])]
    assert [(row[0], row[1], row[2:5]) for row in rows] == [
        ("0", "Linear", ["4", "x", "2"]),
        ("1", "Tanh", []),
        ("2", "Linear", ["3", "x", "4"]),
        ("3", "Tanh", []),
        ("4", "Linear", ["1", "x", "3"]),
    ]
    assert separatrix("show", "net", "--version", "1", data=data).stdout.startswith("net, version 1\n")
    assert separatrix("show", "nobody", data=data).exit_code == 1


@pytest.mark.slow
@pytest.mark.parametrize("command", [("show",), ("predict", "--point", "0,0"), ("export", "-", "--format", "json")])
def test_a_command_takes_the_version_after_a_colon_as_compare_does(data: Path, command: tuple[str, ...]) -> None:
    name, *options = command
    by_option = separatrix(name, "net", *options, "--version", "1", data=data)
    assert separatrix(name, "net:1", *options, data=data).stdout == by_option.stdout != ""
    assert separatrix(name, "net", *options, data=data).stdout != by_option.stdout
    twice = separatrix(name, "net:1", *options, "--version", "1", data=data)
    assert (twice.exit_code, "must be left out: net:1 names a version" in twice.stderr) == (2, True)
    for unknown in ("net:9", "net:old", "net:", "net:0"):
        refused = separatrix(name, unknown, *options, data=data)
        assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1), refused.stderr


@pytest.mark.slow
def test_an_imported_version_is_shown_and_exported_again(data: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    for arguments in (("export", "net", str(first)), ("import", "again", str(first)), ("export", "again", str(second))):
        done = separatrix(*arguments, data=data)
        assert done.exit_code == 0, done.stderr
    named = {"model": "net", "version": 2}
    assert json.loads(second.read_text()) | named == json.loads(first.read_text())
    shown = " ".join(separatrix("show", "again", data=data).stdout.split())
    assert "classes red, blue imported json file published" in shown


@pytest.mark.slow
def test_the_networks_of_an_ensemble_are_shown_one_by_one(data: Path, tmp_path: Path) -> None:
    single = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)).state_dict()
    state = {f"members.{i}.{key}": torch.full_like(value, 0.5 + i) for i in range(2) for key, value in single.items()}
    torch.save(state, tmp_path / "two.pth")
    done = separatrix("import", "two", str(tmp_path / "two.pth"), "--activation", "tanh", data=data)
    assert done.exit_code == 0, done.stderr
    for member, weight in (("0", "0.5"), ("1", "1.5")):
        shown = " ".join(separatrix("show", "two", "--member", member, data=data).stdout.split())
        assert "network 2 x sequential 2-3-1, 26 parameters" in shown
        assert f"network {member} weight least greatest histogram 0 Linear 3 x 2 {weight} {weight} " in shown
    refused = separatrix("show", "two", "--member", "2", data=data)
    assert (refused.exit_code, refused.stderr) == (
        2,
        "separatrix: member: must be less than 2, the number of networks of this version\n",
    )


@pytest.mark.slow
def test_show_prints_names_and_warnings_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("[bold]a,b,label\n1,2,[red]x\n2,1,:cat:\n1,1,[red]x\n2,2,:cat:\n")
    training = ("--csv", str(tmp_path / "points.csv"), "--model", "odd", "--epochs", "1", "--network", "logistic")
    assert separatrix("train", *training, data=tmp_path / "data").exit_code == 0
    shown = separatrix("show", "odd", data=tmp_path / "data").stdout
    assert "[bold]a, b" in shown
    assert ":cat:, [red]x" in shown


def test_a_sparkline_has_its_greatest_bar_where_most_weights_are_and_shows_single_ones() -> None:
    values = torch.cat([torch.zeros(1000), torch.tensor([-1.0, 1.0])]).numpy()
    line = sparkline(values)
    assert (line[0], line[12], line[-1]) == ("▁", "█", "▁")
    assert set(line) == {" ", "▁", "█"}
    assert sparkline(values[:5]).strip() == "█"
