import csv
import io
import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from service.cli import app
from service.records import JobState
from service.render import palette
from service.store.files import Files
from service.store.store import Store
from tests import processes
from tests.readme import README
from tests.service.places import Place
from tests.serving import DEADLINE_S, running, train, wait_until


def separatrix(*arguments: str, data: Path, text: str | None = None) -> Result:
    """Runs a command in this process: a process of its own takes seconds to import torch."""
    environment = {"SEPARATRIX_DATA_DIR": str(data), "COLUMNS": "160"}
    return CliRunner().invoke(app, arguments, env=environment, input=text)


def separatrix_process(
    *arguments: str, text: bytes | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Runs a command in a process of its own, as a user does."""
    command = [sys.executable, "-m", "service", *arguments]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, input=text, capture_output=True, timeout=DEADLINE_S, check=False)


@pytest.fixture(scope="module")
def no_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder without models."""
    folder = tmp_path_factory.mktemp("no-models")
    Store(Files(folder).database_url).close()
    return folder


@pytest.mark.slow
def test_train_summarizes_its_restarts(tmp_path: Path) -> None:
    done = separatrix("train", "--epochs", "50", "--restarts", "4", "--seed", "2", data=tmp_path)
    assert done.exit_code == 0, done.stderr
    found = re.search(
        r"The best of 4 restarts is the one with seed ([2-5]); their losses are between (0\.\d+) and (0\.\d+)\.",
        done.stderr,
    )
    assert found, done.stderr
    assert f"loss {found[2]}" in done.stderr
    assert float(found[2]) < float(found[3])


@pytest.mark.processes
def test_train_predict_boundary_and_models_need_no_server(tmp_path: Path) -> None:
    data = tmp_path / "data"
    trained = separatrix_process(
        *["train", "--dataset", "flower", "--network", "sequential", "--hidden", "4", "--epochs", "400", "--seed", "1"],
        SEPARATRIX_DATA_DIR=str(data),
        COLUMNS="160",
    )
    assert trained.returncode == 0, trained.stderr
    assert b"Published flower-sequential version 1" in trained.stderr
    assert b"% correct, loss 0." in trained.stderr

    asked = separatrix("predict", "flower-sequential", "--point", "0.5,-0.25", "--point", "-2,1", data=data)
    rows = list(csv.DictReader(io.StringIO(asked.stdout)))
    assert [(row["x1"], row["x2"]) for row in rows] == [("0.5", "-0.25"), ("-2", "1")]
    assert {row["label"] for row in rows} <= {"red", "blue"}
    assert all(float(row["p(red)"]) + float(row["p(blue)"]) == pytest.approx(1, abs=2e-6) for row in rows)

    picture = tmp_path / "out.png"
    drawn = separatrix("boundary", "flower-sequential", str(picture), data=data)
    assert drawn.exit_code == 0, drawn.stderr
    with Image.open(picture) as image:
        colors = {tuple(pixel) for pixel in np.asarray(image.convert("RGB")).reshape(-1, 3)}
        assert image.size == (912, 720)
    assert {(0xC8, 0x37, 0x2D), (0x2F, 0x6F, 0xB3)} <= colors, "it shows points of both classes"
    regions = {tuple(color) for color in palette.calm(palette.class_palette(2)).tolist()}
    assert regions <= colors

    listed = separatrix("models", data=data)
    assert "flower-sequential" in listed.stdout
    assert "sequential 2-4-1" in listed.stdout

    with running(data, training_processes=0) as client:
        answer = client.post("/predict", json={"model": "flower-sequential", "points": [[0.5, -0.25], [-2, 1]]})
        assert answer.json()["labels"] == [row["label"] for row in rows]


@pytest.mark.slow
def test_versions_are_promoted_named_and_deleted(tmp_path: Path) -> None:
    def run(arguments: str) -> Result:
        done = separatrix(*arguments.split(), data=tmp_path)
        assert done.exit_code == 0, done.stderr
        return done

    train = "train --model m --epochs 5 --validation-fraction 0.2 --promote-if"
    assert "latest now names it. By validation points: accuracy is" in run(f"{train} accuracy>=0").stderr
    refused = run(f"{train} accuracy>=1 --promote-if log_loss<9").stderr
    assert "latest has not moved" in refused
    assert "separatrix boundary m m.png --version 2" in refused
    assert "best now names it" in run(f"{train} accuracy<=1 --promote-to best").stderr
    assert run("alias m prod 2").stdout == "prod now names version 2 of m.\n"
    predicted = run("predict m --point 0,0 --version prod").stdout
    assert predicted == run("predict m --point 0,0 --version 2").stdout
    rows = [line.split("│")[2:4] for line in run("models").stdout.splitlines() if "│ m" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [["1", ""], ["2", "prod"], ["3", "best, latest"]]

    for wrong, advice in (("alias m latest --delete", "`separatrix alias`"), ("alias m prod 9", "`separatrix models`")):
        told = separatrix(*wrong.split(), data=tmp_path)
        assert (told.exit_code, advice in told.stderr) == (1, True), told.stderr

    held = separatrix("delete", "m", "--version", "2", data=tmp_path)
    assert (held.exit_code, "name the version: prod" in held.stderr) == (1, True)
    assert run("alias m prod --delete").stdout == "Deleted the alias prod of m.\n"
    assert run("delete m --version 2").stdout == "Deleted version 2 of m.\n"
    run("alias m best --delete")
    assert run("delete m --all").stdout == "Deleted 2 versions of m.\n"
    assert "No models yet" in run("models").stdout


READERS = (
    *("models", "show m", "predict m --point 0,0", "boundary m out.png", "compare m n out.png", "export m out.json"),
    *("alias m prod 1", "alias m prod --delete", "delete m --all"),
    *("datasets list", "datasets show mine", "datasets remove mine", "backup out.tar", "doctor", "keys list"),
)


@pytest.mark.slow
@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("exists", [True, False])
def test_a_command_that_adds_no_data_creates_no_data_folder(
    command: str, exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    if exists:
        data.mkdir()
    done = separatrix(*command.split(), data=data)
    assert not exists or [*data.iterdir()] == []
    assert [path.name for path in tmp_path.iterdir()] == ["data"] * exists
    if command != "keys list":
        reason = (
            f"{data} is not a data folder: it has no database" if exists else f"{data}: the data folder does not exist"
        )
        assert (done.exit_code, reason in done.output) == (1, True), done.output


@pytest.mark.slow
def test_train_and_predict_read_csv_files(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("a,b,kind\n0,0,no\n1,1,no\n0,1,yes\n1,0,yes\n")
    trained = separatrix(
        "train", "--csv", str(tmp_path / "own.csv"), "--model", "own", "--epochs", "50", data=tmp_path / "data"
    )
    assert trained.exit_code == 0, trained.stderr
    (tmp_path / "points.csv").write_text("a,b\n0,0\n1,0\n")
    from_file = separatrix("predict", "own", str(tmp_path / "points.csv"), data=tmp_path / "data")
    from_input = separatrix("predict", "own", "-", data=tmp_path / "data", text="0,0\n1,0\n")
    assert from_file.stdout == from_input.stdout
    assert from_file.stdout.splitlines()[0] == "a,b,label,p(no),p(yes)"
    assert len(from_file.stdout.splitlines()) == 3


@pytest.mark.slow
def test_derived_inputs_may_name_the_columns_of_a_csv_file(tmp_path: Path) -> None:
    rows = "".join(f"{a},{b},{('no', 'yes')[a * b > 0]}\n" for a in (-2, -1, 1, 2) for b in (-30, -20, 10, 40))
    (tmp_path / "own.csv").write_text("a,b,kind\n" + rows)
    command = [
        "train",
        "--csv",
        str(tmp_path / "own.csv"),
        "--model",
        "own",
        "--network",
        "logistic",
        "--epochs",
        "400",
    ]
    trained = separatrix(*command, "--inputs", "a*b, b, x1", data=tmp_path / "data")
    assert trained.exit_code == 0, trained.stderr
    assert "100.0% correct" in trained.stderr
    asked = separatrix("predict", "own", "--point", "-3,-25", "--point", "3,-25", data=tmp_path / "data")
    assert [line.split(",")[2] for line in asked.stdout.splitlines()] == ["label", "yes", "no"]
    assert (
        separatrix("boundary", "own", str(tmp_path / "out.png"), "--resolution", "20", data=tmp_path / "data").exit_code
        == 0
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ("predict nobody --point 1,2", 1, "Model not found"),
        ("predict nobody --point one,two", 2, "point: must be numbers"),
        ("predict nobody", 2, "give either --point or a CSV file"),
        ("alias nobody prod 1", 1, "Model not found"),
        ("alias nobody 7 1", 2, "name: must be 1 to 63 characters"),
        ("alias nobody prod", 2, "version: give either"),
        ("alias nobody prod 1 --delete", 2, "version: give either"),
        ("delete nobody", 2, "version: give either"),
        ("delete nobody --version 1", 1, "Model not found"),
        (
            "train --promote-if accuracy>=0.9",
            2,
            "promote_if: needs figures on points that the network is not trained on",
        ),
        ("train --promote-if accuracy", 2, "promote_if: must be once for each figure"),
        ("train --promote-if loss>=1", 2, "promote_if.loss: must be a condition for accuracy or log_loss"),
        ("train --promote-to prod", 2, "promote_if: needs a condition"),
        ("predict nobody no-such.csv", 1, "no-such.csv: No such file"),
        ("boundary nobody out.png", 1, "Model not found"),
        ("boundary nobody out.gif9", 2, "out: must end in one of"),
        ("boundary nobody out.png --margin -1", 1, "Model not found"),
        ("train --hidden four", 2, "network.hidden: must be whole numbers"),
        ("train --inputs x,z", 2, "network.inputs.1: must be a term of the coordinates, such as x1"),
        ("train --feature-weights 1,two", 2, "network.feature_weights: must be numbers separated by commas"),
        ("train --feature-weights 1,2,3", 2, "network.feature_weights: must have one number for each of the 2"),
        ("train --network logistic --hidden 4", 2, "network.hidden: must be empty: a logistic network"),
        ("train --epochs 0", 2, "training.epochs: must be between"),
        ("train --model Flower", 2, "model: must be 1 to 63"),
        ("train --csv a.csv --dataset moons", 2, "csv: give either"),
        ("serve --host 0.0.0.0", 2, "host: other machines can reach it"),
        ("serve --port 99999", 2, "port: "),
        ("serve --host 192.0.2.1", 2, "add --insecure"),
        ("models --data-dir no-such-folder", 1, "no-such-folder: the data folder does not exist"),
        ("train --epochs 1 --data-dir /proc/none", 1, "/proc/none: "),
        ("models --data-dir rotten", 1, "The database is unavailable"),
        ("serve --data-dir rotten", 1, "The database is unavailable"),
        ("serve --data-dir a-file", 1, "a-file: "),
        (
            "train --batch-size 1 --epochs 1000000",
            2,
            "training.batch_size: must be larger: the training would take 400,000,000 steps",
        ),
    ],
)
def test_an_error_that_the_user_can_fix_is_reported_in_one_line(
    arguments: str, status: int, said: str, no_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    (tmp_path / "rotten").mkdir()
    (tmp_path / "rotten" / "separatrix.db").write_bytes(b"no database at all" * 100)
    done = separatrix(*arguments.split(), data=no_models)
    assert done.exit_code == status, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("separatrix: ")
    assert said in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("train --epochs x", "--epochs: must be a whole number"),
        ("train --momentum x", "--momentum: must be a number"),
        ("train --optimizer foo", "--optimizer: 'foo' is not one of 'sgd', 'adam', 'lbfgs'."),
        ("import m x --activation foo", "--activation: 'foo' is not one of 'relu', "),
        ("show m --member -1", "--member: must be at least 0"),
        ("show m --version :", "--version: must be the number of a version, counted from 1, or an alias"),
        ("predict m --csv x", "No such option: --csv; see --help"),
        ("boundary m", "Missing argument 'out'; see --help"),
        ("frobnicate", "No such command 'frobnicate'; see --help"),
        ("datasets frobnicate", "No such command 'frobnicate'; see --help"),
        ("serve --port 99999", "port: must be at most 65,535"),
        ("datasets list --database-url nonsense", "database_url: must look like postgresql+psycopg://"),
    ],
)
def test_a_wrong_argument_is_reported_in_one_line(arguments: str, said: str, tmp_path: Path) -> None:
    done = separatrix(*arguments.split(), data=tmp_path)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"separatrix: {said}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["--help"], [], ["datasets"], ["train", "--help"]])
def test_help_is_not_an_error(arguments: list[str], tmp_path: Path) -> None:
    done = separatrix(*arguments, data=tmp_path)
    assert done.stderr == ""
    assert "Usage: " in done.stdout


@pytest.mark.processes
def test_output_that_cannot_be_written_is_reported_in_one_line(no_models: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    command = [sys.executable, "-m", "service", "models", "--data-dir", str(no_models)]
    with (tmp_path / "out").open("rb") as unwritable:
        done = subprocess.run(
            command, stdout=unwritable, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=False
        )
    assert (done.returncode, done.stderr) == (1, "separatrix: Bad file descriptor\n")


@pytest.mark.processes
def test_a_closed_output_pipe_is_not_an_error(no_models: Path) -> None:
    command = [sys.executable, "-m", "service", "models", "--data-dir", str(no_models)]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=False)
    os.close(writing)
    assert done.stderr == ""


@pytest.mark.processes
def test_an_interruption_while_modules_are_imported_leaves_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import sys\nprint('importing', flush=True)\nsys.stdin.read()\n")
    own = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        [sys.executable, "-m", "service", "models"],
        env=os.environ | {"PYTHONPATH": own},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=DEADLINE_S)
    assert told == ""
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["models", "--data-dir", ""], "data_dir: is empty"),
        (["keys", "list", "--keys-file", ""], "keys_file: is empty"),
        (["train", "--csv", ""], "--csv: is empty"),
        (["predict", "m", ""], "is empty"),
        (["import", "m", ""], "is empty"),
        (["export", "m", "", "--format", "json"], "is empty"),
        (["backup", ""], "is empty"),
        (["datasets", "add", ""], "is empty"),
    ],
)
def test_an_empty_name_is_not_the_current_folder(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = separatrix(*arguments, data=tmp_path / "data")
    assert done.exit_code == 2
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_empty_variable_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["train", "--epochs", "1"], env={"SEPARATRIX_DATA_DIR": ""})
    assert (done.exit_code, done.stderr) == (
        2,
        "separatrix: data_dir: is empty; give a path, or leave the setting out\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"1,2,a\n3,b\n", "line 2"),
        (b"1,2,a\n3,4\n", "line 2: has 2 values, but the first line has 3"),
        (b"1,2,a\n1,x,b\n", "line 2, column 2: 'x' is not a finite number"),
        (b"1,2,a\n1,nan,b\n", "line 2: has no value in column 2"),
        (b"1,2,a\n1,2e30,b\n", "must be a number"),
        (b"1,2,a\n", "data.labels"),
        (b"", "has no points"),
        (b"\xff\xfe\x00", "not a UTF-16 CSV file"),
        (b"1,2,\xff\n1,3,b\n", "is not a UTF-8 CSV file: line 1 has the byte 0xff"),
    ],
)
def test_an_invalid_csv_file_is_rejected_in_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_bytes(content)
    done = separatrix("train", "--csv", str(tmp_path / "bad.csv"), "--model", "bad", data=tmp_path / "data")
    assert done.exit_code == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_train_reports_how_it_understood_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_bytes("\ufeff;x;y;art\r\n0;0,5;1;no\r\n1;1,5;2;No\r\n2;;3;no\r\n".encode("utf-16-le"))
    arguments = ["train", "--csv", str(tmp_path / "own.csv"), "--model", "own", "--epochs", "2", "--missing", "drop"]
    done = separatrix(*arguments, "--label", "art", data=tmp_path / "data")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.splitlines()[:7] == [
        "own.csv: 2 rows, separated by ';', decimal mark ',', heading in line 1",
        "features (2): x, y",
        "label: column 'art', as given",
        "classes (2): No (1), no (1)",
        "column 1 is left out: it has no heading and numbers or names the rows",
        "1 row is left out for a missing value: line 4 has no value in column 'x'",
        "warning: the labels 'no' and 'No' are almost equal, but are different classes",
    ]


@pytest.mark.slow
def test_labels_that_look_like_markup_are_printed_as_they_are(tmp_path: Path) -> None:
    for number, label in enumerate(("[/a]", "[b]q", ":cat:")):
        (tmp_path / "own.csv").write_text(f"x,y,label\n1,2,{label}\n3,1,{label}\n2,5,b\n4,4,{label}\n5,5,b\n")
        arguments = ["train", "--csv", str(tmp_path / "own.csv"), "--network", "logistic", "--epochs", "1"]
        done = separatrix(*arguments, "--model", f"m{number}", data=tmp_path / "data")
        assert done.exit_code == 0, done.stderr
        warnings = [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]
        assert any(label in line for line in warnings), done.stderr


@pytest.mark.slow
def test_predict_reads_the_file_that_the_model_was_trained_on(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("label;x;y\n1;0,5;1\n0;1,5;2\n1;1700000030;5334000,25\n")
    path, data = str(tmp_path / "own.csv"), tmp_path / "data"
    assert separatrix("train", "--csv", path, "--model", "own", "--epochs", "2", data=data).exit_code == 0
    done = separatrix("predict", "own", path, data=data)
    assert "column 'label' is left out" in done.stderr
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert [row[:2] for row in rows] == [["x", "y"], ["0.5", "1"], ["1.5", "2"], ["1700000030", "5334000.25"]]
    (tmp_path / "three.csv").write_text("a,b,c\n0.5,1.5,2.5\n")
    done = separatrix("predict", "own", str(tmp_path / "three.csv"), data=data)
    assert done.exit_code == 2
    assert "must have 'x', 'y', and must not have 'a', 'b', 'c': the features are 'x', 'y'" in done.stderr
    assert "or choose them in this order with --features A,B" in done.stderr
    done = separatrix("predict", "own", str(tmp_path / "three.csv"), "--features", "c,a", data=data)
    assert done.stdout.splitlines()[1].startswith("2.5,0.5,")


@pytest.mark.slow
def test_a_model_and_a_dataset_are_named_after_their_file_unless_named(tmp_path: Path) -> None:
    data, path = tmp_path / "data", str(tmp_path / "My points_2.csv")
    Path(path).write_text("x,y,kind\n0,0,no\n1,1,no\n0,1,yes\n1,0,yes\n")
    trained = separatrix("train", "--csv", path, "--epochs", "2", data=data)
    assert "Published my-points_2 version 1." in trained.stderr
    stored = separatrix("datasets", "add", path, data=data)
    assert "Stored my-points_2." in stored.stdout
    for command in (("train", "--csv", "-"), ("datasets", "add", "-")):
        refused = separatrix(*command, data=data, text="x,kind\n1,a\n2,b\n")
        assert refused.exit_code == 2
        assert f"give a name with --{'model' if command[0] == 'train' else 'name'}" in refused.stderr


@pytest.mark.slow
def test_predict_matches_the_columns_of_a_file_by_name(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("a,long name,kind\n0.1,7,no\n1,7.5,no\n0,1,yes\n1,0.25,yes\n")
    data = tmp_path / "data"
    trained = separatrix("train", "--csv", str(tmp_path / "own.csv"), "--model", "own", "--epochs", "50", data=data)
    assert trained.exit_code == 0, trained.stderr
    in_order = separatrix("predict", "own", "-", data=data, text="a,long name\n0.1,7\n1,0.25\n")
    swapped = separatrix("predict", "own", "-", data=data, text="kind;long name;a\nyes;7;0,1\nno;0,25;1\n")
    assert swapped.stdout == in_order.stdout
    assert swapped.stdout.splitlines()[0] == "a,long name,label,p(no),p(yes)"
    assert swapped.stdout.splitlines()[1].startswith("0.1,7,")
    refused = separatrix("predict", "own", "-", data=data, text="a,long_name\n0.1,7\n")
    assert refused.exit_code == 2
    assert "(did you mean 'long name'?)" in refused.stderr


@pytest.mark.parametrize("command", ["train --label kind", "predict own --point 1,2 --label kind"])
def test_an_option_of_csv_files_without_a_file_is_refused(command: str, tmp_path: Path) -> None:
    done = separatrix(*command.split(), data=tmp_path)
    assert done.exit_code == 2
    assert done.stderr == "separatrix: label: says how to read a CSV file, but none is given\n"


def test_a_command_that_only_reads_creates_no_data_folder(tmp_path: Path) -> None:
    assert separatrix("models", data=tmp_path / "mistyped").exit_code == 1
    assert not (tmp_path / "mistyped").exists()


@pytest.mark.slow
def test_labels_are_drawn_verbatim(tmp_path: Path) -> None:
    labels = ("$\\frac$", "_hidden")
    rows = "".join(f"{x},{y},{labels[x]}\n" for x in (0, 1) for y in range(5))
    done = separatrix("train", "--csv", "-", "--model", "odd", "--epochs", "5", data=tmp_path, text=rows)
    assert done.exit_code == 0, done.stderr
    done = separatrix("boundary", "odd", str(tmp_path / "odd.svg"), data=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "odd.svg").stat().st_size > 1_000


@pytest.mark.slow
def test_boundary_draws_a_plane_through_three_features_and_rejects_a_model_of_one(tmp_path: Path) -> None:
    for features, status in ((3, 0), (1, 2)):
        rows = "".join(",".join([str(i % (d + 2)) for d in range(features)]) + f",{i % 2}\n" for i in range(12))
        (tmp_path / "own.csv").write_text(rows)
        name = f"of-{features}"
        separatrix(
            "train", "--csv", str(tmp_path / "own.csv"), "--model", name, "--epochs", "5", data=tmp_path / "data"
        )
        done = separatrix("boundary", name, str(tmp_path / f"{name}.png"), data=tmp_path / "data")
        assert done.exit_code == status, done.stderr
        assert (tmp_path / f"{name}.png").exists() == (status == 0)
    assert "at least 2 features" in done.stderr


@pytest.fixture(scope="module")
def iris_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with `kinds`: four features with names, three kinds, a third of the points held out."""
    folder = tmp_path_factory.mktemp("kinds")
    rows = np.random.default_rng(2).normal(0, 1, (60, 4)).round(2)
    lines = [",".join([*map(str, row), ("early", "la$te$", "never")[i % 3]]) for i, row in enumerate(rows)]
    (folder / "kinds.csv").write_text("\n".join(["petal length,petal width,$cost$,age,kind", *lines]) + "\n")
    arguments = ["train", "--csv", str(folder / "kinds.csv"), "--model", "kinds", "--epochs", "30"]
    done = separatrix(*arguments, "--validation-fraction", "0.3", data=folder / "data")
    assert done.exit_code == 0, done.stderr
    return folder


def texts_of(figure: Path) -> list[str]:
    """The texts of an SVG that matplotlib wrote, which keeps each as a comment."""
    return re.findall(r"<!-- (.*?) -->", figure.read_text(), re.DOTALL)


@pytest.mark.slow
def test_the_figure_names_the_axes_the_accuracy_of_validation_and_the_number_of_points_of_each_class(
    iris_like: Path,
) -> None:
    out = iris_like / "named.svg"
    arguments = ["boundary", "kinds", str(out), "--axes", "$cost$,petal width", "--within", "1", "--margin", "1"]
    done = separatrix(*arguments, data=iris_like / "data")
    assert done.exit_code == 0, done.stderr
    texts = texts_of(out)
    title = "\n".join(texts)
    assert "kinds version 1" in title
    assert re.search(r"validation accuracy \d+\.\d%", title)
    assert re.search(r"at petal length = \S+, age = \S+", title)
    table = np.genfromtxt(iris_like / "kinds.csv", delimiter=",", skip_header=1, usecols=range(4))
    kinds = [line.rpartition(",")[2] for line in (iris_like / "kinds.csv").read_text().splitlines()[1:]]
    fixed = table[:, [0, 3]]
    distance_N = np.sqrt((((fixed - np.median(fixed, axis=0)) / fixed.std(axis=0)) ** 2).mean(axis=1))
    shown_N = distance_N <= 1
    assert 0 < shown_N.sum() < 60
    assert f"{shown_N.sum()} of 60 points shown" in title
    assert {"$cost$", "petal width"} <= set(texts)
    for kind in ("early", "la$te$", "never"):
        count = sum(near and own == kind for near, own in zip(shown_N, kinds, strict=True))
        assert f"{kind} ({count})" in texts
    assert "60 points" in separatrix("models", data=iris_like / "data").stdout
    assert any(re.fullmatch(r"misclassified \(\d+\)", text) for text in texts)
    column_N = table[:, 2]
    ticks = [float(text.replace("\u2212", "-")) for text in texts if re.fullmatch("\u2212?[0-9.]+", text)]
    assert max(ticks) > column_N.max() + np.ptp(column_N) / 2, "the margin is as large as the range"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--axes", "petal length"], "axes: must be two features"),
        (["--axes", "petal length,height"], "axes: must name one of the model's features: petal length, petal width,"),
        (["--at", "age=old"], "at: must be all numbers"),
        (["--margin", "-1"], "margin: must be between 0 and 4"),
        (["--margin", "nan"], "margin: must be between 0 and 4"),
        (["--within", "-1"], "within: must be between 0 and 1000"),
        (["--within", "nan"], "within: must be between 0 and 1000"),
    ],
    ids=str,
)
def test_a_part_that_the_model_does_not_have_is_refused_in_one_line(
    iris_like: Path, options: list[str], said: str
) -> None:
    done = separatrix("boundary", "kinds", str(iris_like / "none.png"), *options, data=iris_like / "data")
    assert done.exit_code == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert said in line
    assert not (iris_like / "none.png").exists()


@pytest.mark.slow
def test_without_validation_the_figure_names_the_accuracy_of_training(tmp_path: Path) -> None:
    arguments = ["train", "--dataset", "gaussians", "--n-classes", "60", "--n", "240", "--model", "many"]
    assert separatrix(*arguments, "--epochs", "3", data=tmp_path).exit_code == 0
    done = separatrix("boundary", "many", str(tmp_path / "many.svg"), "--resolution", "50", data=tmp_path)
    assert done.exit_code == 0, done.stderr
    texts = texts_of(tmp_path / "many.svg")
    assert any("training accuracy" in text for text in texts)
    assert {f"{k} (4)" for k in range(60)} <= set(texts)


@pytest.mark.processes
def test_standard_input_that_is_not_utf_8_is_rejected(tmp_path: Path) -> None:
    done = separatrix_process("predict", "m", "-", "--data-dir", str(tmp_path), text=b"0,\xff\n1,b\n", LC_ALL="C")
    assert done.returncode == 2
    assert b"is not a UTF-8 CSV file" in done.stderr


def test_a_training_that_diverges_in_its_last_step_fails(tmp_path: Path) -> None:
    rows = "1e30,1e30,a\n-1e30,1e30,b\n"
    done = separatrix(
        *[
            "train",
            "--csv",
            "-",
            "--model",
            "huge",
            "--network",
            "logistic",
            "--scale",
            "none",
            "--epochs",
            "1",
            "--learning-rate",
            "1000",
        ],
        data=tmp_path,
        text=rows,
    )
    assert done.exit_code == 1
    assert "Failed (diverged)" in done.stderr


@pytest.mark.slow
def test_class_weights_are_balanced_or_given_once_for_each_label(tmp_path: Path) -> None:
    train = ["train", "--dataset", "flower", "--n", "40", "--optimizer", "lbfgs", "--epochs", "3", "--model", "m"]
    for options in (["balanced"], ["red=2", "blue=0.5"]):
        done = separatrix(*train, *(word for one in options for word in ("--class-weight", one)), data=tmp_path)
        assert done.exit_code == 0, done.stderr
    for options in (["balanced", "red=2"], ["red=2"], ["red=2", "red=1"], ["red", "blue"], ["red=nan", "blue=1"]):
        wrong = separatrix(*train, *(word for one in options for word in ("--class-weight", one)), data=tmp_path)
        assert wrong.exit_code == 2
        (line,) = wrong.stderr.strip().splitlines()
        assert "training.class_weight" in line


@pytest.mark.slow
def test_a_training_by_lbfgs_says_when_it_has_converged(tmp_path: Path) -> None:
    train = ["train", "--dataset", "moons", "--n", "40", "--optimizer", "lbfgs", "--weight-decay", "0.1"]
    done = separatrix(*train, "--model", "m", data=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert re.search(r"Converged after \d+ of 500 epochs\.", done.stderr)


@pytest.mark.slow
def test_a_training_that_diverges_suggests_a_lower_learning_rate(tmp_path: Path) -> None:
    done = separatrix(
        *["train", "--hidden", "4,4", "--activation", "identity", "--learning-rate", "1000", "--epochs", "500"],
        data=tmp_path,
    )
    assert done.exit_code == 1
    assert "Failed (diverged)" in done.stderr
    assert "learning_rate below 1000" in " ".join(done.stderr.split())


def long_training(data: Path) -> AbstractContextManager[psutil.Popen]:
    """A training of several minutes, started from the command line."""
    command = ["train", "--epochs", "1000000", "--hidden", "64,64", "--data-dir", str(data)]
    return processes.separatrix(*command, stderr=subprocess.PIPE, text=True)


@pytest.mark.processes
def test_ctrl_c_cancels_a_training_before_another_worker_can_claim_it(tmp_path: Path) -> None:
    place = Place.of_folder(tmp_path)
    with long_training(tmp_path) as process, running(tmp_path, training_processes=0) as client:
        wait_until(lambda: [job["status"] for job in client.get("/jobs").json()["data"]] == ["running"])
        process.send_signal(signal.SIGINT)
        while process.poll() is None:
            assert place.store.leases.claim("another") is None
        _, said = process.communicate()
        assert process.returncode == 130
        assert "Cancelled; nothing was published." in said
        assert [job["status"] for job in client.get("/jobs").json()["data"]] == ["cancelled"]
        assert [job.state for job in place.store.jobs.page(limit=10)[0]] == [JobState.CANCELLED]
    place.store.close()


@pytest.mark.processes
def test_the_command_of_a_training_that_is_paused_ends_and_says_how_to_resume_it(tmp_path: Path) -> None:
    with long_training(tmp_path) as process, running(tmp_path, training_processes=0) as client:
        wait_until(lambda: [job["status"] for job in client.get("/jobs").json()["data"]] == ["running"])
        (job,) = client.get("/jobs").json()["data"]
        client.post(f"/jobs/{job['id']}/pause")
        _, said = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 1
        assert f"POST /jobs/{job['id']}/resume" in said
        assert client.post(f"/jobs/{job['id']}/resume").json()["status"] == "queued"


@pytest.mark.slow
def test_a_running_service_serves_what_the_command_line_trains(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        train(client, "moons", training={"epochs": 1})
        done = separatrix("train", "--dataset", "moons", "--model", "moons", "--epochs", "20", data=tmp_path)
        assert done.exit_code == 0, done.stderr
        assert client.get("/models/moons").json()["newest_version"] == 2, (
            "the command ends only when the service serves the version"
        )
        done = separatrix("train", "--dataset", "moons", "--model", "fresh", "--epochs", "20", data=tmp_path)
        assert client.post("/predict", json={"model": "fresh", "points": [[0, 0]]}).status_code == 200


@pytest.mark.slow
def test_a_file_without_settings_is_trained_with_chosen_ones(tmp_path: Path) -> None:
    rows = [f"{length},{length % 3},{'long' if length > 20 else 'short'}" for length in range(40)]
    (tmp_path / "fish.csv").write_text("\n".join(["length,girth,kind", *rows]))
    data = tmp_path / "data"
    done = separatrix("train", "--csv", str(tmp_path / "fish.csv"), "--model", "fish", data=data)
    assert done.exit_code == 0, done.stderr
    assert re.search(r"Chosen from \d+ candidates: .*weight decay .* not trained on: \d+\.\d% correct", done.stderr)
    assert separatrix("boundary", "fish", str(tmp_path / "fish.svg"), data=data).exit_code == 0
    assert any("cross-validation accuracy" in text for text in texts_of(tmp_path / "fish.svg"))


@pytest.mark.slow
def test_the_penguins_of_the_readme_are_refused_first_and_then_recognized(tmp_path: Path) -> None:
    (line,) = (line for line in README.splitlines() if "penguins.csv --model" in line)
    command = shlex.split(line)[1:]
    refused, trained = (separatrix(*part, data=tmp_path) for part in (command[: command.index("--label")], command))
    assert (refused.exit_code, "columns 'island' and 'sex': are text" in refused.stderr) == (2, True)
    assert trained.exit_code == 0, trained.stderr
    accuracy = re.search(r"not trained on: (\d+\.\d)% correct", trained.stderr)
    assert accuracy is not None
    assert 98 <= float(accuracy[1]) < 100


@pytest.mark.slow
def test_the_text_columns_of_the_penguins_become_features(tmp_path: Path) -> None:
    options = ["--csv", "docs/penguins.csv", "--label", "species", "--missing", "drop", "--model", "penguins"]
    refused = separatrix("train", *options, data=tmp_path)
    assert (refused.exit_code, "--categorical one-hot" in refused.stderr) == (2, True)
    settings = ["--categorical", "one-hot", "--preset", "tutorial", "--epochs", "100"]
    trained = separatrix("train", *options, *settings, data=tmp_path)
    assert trained.exit_code == 0, trained.stderr
    assert "column 'island' becomes 3 features: island=Biscoe, island=Dream, island=Torgersen" in trained.stderr
    lines = Path("docs/penguins.csv").read_text().splitlines()
    (tmp_path / "some.csv").write_text("\n".join([lines[0], *lines[1:4]]))
    predicted = separatrix("predict", "penguins", str(tmp_path / "some.csv"), data=tmp_path)
    assert predicted.exit_code == 0, predicted.stderr
    first = next(csv.DictReader(predicted.stdout.splitlines()))
    assert (first["island=Torgersen"], first["island=Dream"], first["sex=male"]) == ("1", "0", "1")
    assert first["label"] == "Adelie"
    point = separatrix("predict", "penguins", "--point", "0,0,1,39.1,18.7,181,3750,0,1,2007", data=tmp_path)
    same = next(csv.DictReader(point.stdout.splitlines()))
    assert float(same["p(Gentoo)"]) == pytest.approx(float(first["p(Gentoo)"]), rel=1e-4)


@pytest.mark.slow
def test_the_preset_tutorial_trains_a_file_with_the_settings_of_the_tutorial(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("x,y,kind\n0,0,no\n0,1,yes\n1,0,yes\n1,1,no\n")
    arguments = ["train", "--csv", str(tmp_path / "points.csv"), "--model", "mine", "--preset", "tutorial"]
    done = separatrix(*arguments, data=tmp_path / "data")
    assert done.exit_code == 0, done.stderr
    assert "Chosen" not in done.stderr


@pytest.mark.slow
def test_a_training_from_a_version_compares_itself_with_it(tmp_path: Path) -> None:
    assert separatrix("train", "--model", "first", "--epochs", "20", "--hidden", "3", data=tmp_path).exit_code == 0
    done = separatrix("train", "--from", "first:1", "--epochs", "5", data=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "Published first version 2." in done.stderr
    assert "Compared with first version 1: " in done.stderr
    assert "The data are the generator flower, because neither --dataset nor --csv names others." in done.stderr
    for wrong, told in (
        ("first:", "must be the number of a version or an alias"),
        ("first:best", "Alias not found"),
        ("first:9", "Version not found"),
        ("no", "Model"),
    ):
        refused = separatrix("train", "--from", wrong, data=tmp_path)
        assert refused.exit_code in (1, 2)
        assert told in refused.stderr


@pytest.mark.slow
def test_a_training_from_a_version_without_data_says_which_ones_do_not_suit_it(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("a,b,kind\n0,0,no\n1,1,no\n0,1,yes\n1,0,yes\n")
    own = ("--csv", str(tmp_path / "own.csv"))
    trained = separatrix("train", *own, "--epochs", "2", "--hidden", "2", data=tmp_path / "data")
    assert trained.exit_code == 0, trained.stderr
    refused = separatrix("train", "--from", "own", "--epochs", "2", data=tmp_path / "data")
    assert refused.exit_code == 2
    assert refused.stderr == (
        "separatrix: from: must be a version with the classes of the data: the version has 'no', 'yes', the data have "
        "'red', 'blue'; the data are the generator flower, because neither --dataset nor --csv names others\n"
    )
    again = separatrix("train", "--from", "own", *own, "--epochs", "2", data=tmp_path / "data")
    assert again.exit_code == 0, again.stderr
    assert "neither" not in again.stderr


@pytest.mark.slow
def test_an_ensemble_is_trained_and_listed(tmp_path: Path) -> None:
    done = separatrix("train", "--model", "few", "--epochs", "5", "--ensemble", "2", data=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "An ensemble of 2 networks; their losses are between " in done.stderr
    assert "2 x 2-4-1" in separatrix("models", data=tmp_path).stdout
    assert separatrix("predict", "few", "--point", "0,1", data=tmp_path).exit_code == 0
    assert separatrix("boundary", "few", str(tmp_path / "few.png"), "--resolution", "30", data=tmp_path).exit_code == 0
