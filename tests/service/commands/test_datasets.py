import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest

from tests.service.commands.test_cli import separatrix
from tests.serving import running

CSV = "u;v;kind\n" + "".join(f"{i % 7},5;{i % 5};{('no', 'yes')[i % 2]}\n" for i in range(40))


@pytest.mark.slow
def test_a_dataset_is_added_listed_shown_trained_on_and_removed(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text(CSV)
    done = separatrix("datasets", "add", str(tmp_path / "points.csv"), "--name", "mine", data=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "points.csv: 40 rows" in done.stdout
    assert "separatrix train --dataset mine" in done.stdout
    assert "mine" in separatrix("datasets", "list", data=tmp_path).stdout
    shown = separatrix("datasets", "show", "mine", data=tmp_path).stdout
    assert "label: column 'kind', by its heading" in shown
    assert "6.5" in shown
    done = separatrix("train", "--dataset", "mine", "--epochs", "20", data=tmp_path)
    assert "Published mine-sequential version 1" in done.stderr
    assert "mine" in separatrix("models", data=tmp_path).stdout
    assert separatrix("datasets", "remove", "mine", data=tmp_path).exit_code == 0
    done = separatrix("train", "--dataset", "mine", data=tmp_path)
    assert (done.exit_code, "Dataset not found" in done.stderr) == (1, True)
    assert "No datasets yet" in separatrix("datasets", "list", data=tmp_path).stdout
    picture = tmp_path / "mine.png"
    assert separatrix("boundary", "mine-sequential", str(picture), "--resolution", "20", data=tmp_path).exit_code == 0


@pytest.mark.slow
def test_a_training_is_validated_on_a_stored_dataset(tmp_path: Path) -> None:
    (tmp_path / "training.csv").write_text(CSV)
    separatrix("datasets", "add", "-", "--name", "held-out", data=tmp_path, text="kind;v;u\nno;0;0,5\nyes;1;1,5\n")
    train = ["train", "--csv", str(tmp_path / "training.csv"), "--model", "m", "--epochs", "20"]
    done = separatrix(*train, "--validation-dataset", "held-out", data=tmp_path)
    assert done.exit_code == 0, done.stderr
    shown = re.search(r"Validation points: (0|50|100)\.0% correct, loss ([0-9.]+)", done.stderr)
    assert shown, done.stderr
    predicted = separatrix("predict", "m", "--point", "0.5,0", "--point", "1.5,1", data=tmp_path).stdout
    first, second = csv.DictReader(io.StringIO(predicted))
    probabilities = [float(first["p(no)"]), float(second["p(yes)"])]
    assert float(shown[2]) == pytest.approx(-np.log(probabilities).mean(), abs=1e-4)


@pytest.mark.slow
def test_a_service_serves_the_datasets_of_the_command_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "points.npz", X=np.eye(3), y=[0, 1, 1])
    done = separatrix("datasets", "add", str(tmp_path / "points.npz"), "--name", "mine", data=tmp_path)
    assert done.exit_code == 0, done.stderr
    with running(tmp_path, training_processes=0) as client:
        assert client.get("/datasets/mine/points").json()["points"] == np.eye(3).tolist()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        ("datasets add none.csv --name n", 1, "none.csv"),
        ("datasets add - --name Upper", 2, "name: must be 1 to 63 characters"),
        ("datasets add - --name flower", 1, "belongs to a generator"),
        ("datasets add - --name n --label sort", 2, "label: there is no column 'sort'"),
        ("datasets add - --name there", 1, "is taken"),
        ("datasets show none", 1, "Dataset not found"),
        ("datasets remove flower", 1, "belongs to a generator"),
        ("train --dataset there --noise 1", 2, "noise: is for generators only"),
        ("train --dataset there --csv a.csv", 2, "csv: give either"),
        ("train --csv a.csv --noise 1", 2, "noise: is for generators only"),
        ("train --validation-dataset none", 1, "Dataset not found"),
        ("train --validation-dataset moons", 2, "validation.dataset: must be a stored dataset"),
        ("train --validation-dataset there", 2, "validation.dataset: must have labels of the training data"),
        (
            "train --dataset there --validation-dataset there --validation-fraction 0.5",
            2,
            "validation: cannot be combined with training.validation_fraction",
        ),
    ],
)
def test_an_impossible_command_is_refused_in_one_line(tmp_path: Path, arguments: str, status: int, told: str) -> None:
    separatrix("datasets", "add", "-", "--name", "there", data=tmp_path, text=CSV + "9;9;no\n")
    done = separatrix(*arguments.split(), data=tmp_path, text=CSV)
    assert done.exit_code == status
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_other_content_replaces_a_dataset_on_request(tmp_path: Path) -> None:
    for text, arguments in ((CSV, ()), (CSV + "9;9;no\n", ("--replace",))):
        done = separatrix("datasets", "add", "-", "--name", "mine", *arguments, data=tmp_path, text=text)
        assert done.exit_code == 0, done.stderr
    assert "41 rows" in separatrix("datasets", "show", "mine", data=tmp_path).stdout
