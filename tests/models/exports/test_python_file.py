"""The exported Python program, run on its own."""

import ast
import csv
import importlib.util
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from models.exports import python_file
from tests.models.exports.samples import EVERY_SAMPLE, UNIX_TIME, Sample, sample

NAMED = {
    "n_points": 4,
    "n_features": 2,
    "feature_names": ["mass", "island=Dream"],
    "categories": {"island": ["Dream", "Biscoe"]},
}


def program(one: Sample, folder: Path) -> Path:
    path = folder / "net.py"
    path.write_bytes(python_file.encode(one.exported))
    return path


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("exported_net", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(path: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs the program in a folder of its own, without the paths and variables of this process."""
    command = [sys.executable, "-I", path, *options]
    return subprocess.run(
        command, input=text, cwd=path.parent, capture_output=True, text=True, errors="surrogateescape", check=False
    )


@pytest.mark.parametrize("given", EVERY_SAMPLE.values(), ids=EVERY_SAMPLE.keys())
def test_the_program_answers_as_the_service_does_to_the_bit(given: dict[str, Any], tmp_path: Path) -> None:
    one = sample(points=5_000, **given)
    net = loaded(program(one, tmp_path))
    np.testing.assert_array_equal(net.logits(one.xy_ND), one.logit_NO)
    np.testing.assert_array_equal(net.probabilities(one.xy_ND), one.prob_NK)
    assert net.probabilities(one.xy_ND).dtype == np.float32
    assert net.predict(one.xy_ND) == one.labels
    assert net.predict(one.xy_ND[:0]) == []


def test_the_program_imports_numpy_and_the_standard_library_alone(tmp_path: Path) -> None:
    tree = ast.parse(program(sample("residual"), tmp_path).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports for alias in node.names}
    assert names - sys.stdlib_module_names == {"numpy"}
    assert all(isinstance(node, ast.Import) for node in imports)


@pytest.mark.slow
def test_the_command_line_reads_csv_and_prints_labels_and_probabilities(tmp_path: Path) -> None:
    one = sample("residual", offset=UNIX_TIME, points=20)
    text = "\n".join(f"{x!r},{y!r}" for x, y in one.xy_ND.tolist())
    for given in (text, f"\ufeffx1,x2\n{text}\n\n", f"time,place\r\n{text}\r\n"):
        done = run(program(one, tmp_path), given)
        assert (done.returncode, done.stderr) == (0, "")
        heading, *rows = csv.reader(io.StringIO(done.stdout))
        assert heading == ["label", "p(no)", "p(yes)"]
        assert [row[0] for row in rows] == one.labels
        np.testing.assert_array_equal(np.array([row[1:] for row in rows], np.float32), one.prob_NK)
    assert len(done.stdout.splitlines()) == 21


@pytest.mark.slow
def test_columns_are_found_by_name_and_text_columns_by_their_values(tmp_path: Path) -> None:
    one = sample(data=NAMED)
    path = program(one, tmp_path)
    by_position = run(path, "1.5,1\n2,0\n").stdout
    assert len(by_position.splitlines()) == 3
    by_name = run(path, "kind,island,mass,\nhello,Dream,1.5,1\nworld,Biscoe,2,3\n")
    assert by_name.stdout == by_position
    assert by_name.stderr == f"{path}: columns that are not used: 'kind', ''\n"
    by_value = run(path, "island=Dream,mass\n1,1.5\n0,2\n")
    assert (by_value.stdout, by_value.stderr) == (by_position, "")


@pytest.mark.slow
def test_the_program_ends_silently_when_its_output_pipe_is_closed(tmp_path: Path) -> None:
    program(sample(), tmp_path)
    (tmp_path / "points.csv").write_text("1,2\n" * 20_000)
    script = f"{shlex.quote(sys.executable)} -I net.py < points.csv | head -1"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("label,p(no),p(yes)\n", "")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_the_program_says_in_one_line_that_its_output_cannot_be_written(tmp_path: Path) -> None:
    path = program(sample(), tmp_path)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-I", path], input="1,2\n", stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, f"{path}: [Errno 28] No space left on device\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there are no points"),
        ("1,2,3\n", "each line must have 2 numbers, but the first one has 3"),
        ("1,2\n3\n", "line 2: there are 1 columns, but 2 in the first line"),
        ("1,2\n3,nan\n", "line 2: 'nan' is not a number"),
        ("1,2\n3,1_000\n", "line 2: '1_000' is not a number"),
        ("1,2\n3,1e31\n", "line 2: '1e31' is not a number"),
        ("0,1\n3,4\n", "the first line may be a heading or a point: give --heading or --no-heading"),
        ("mass\n1\n", "the heading lacks 'island'"),
        ("mass,mass,island\n1,2,Dream\n", "the heading repeats 'mass'"),
        ("mass,island\n1,Torgersen\n", "line 2: 'Torgersen' is not one of Dream, Biscoe"),
        ("1;2\n", "the heading lacks 'mass', 'island'"),
    ],
)
def test_a_file_that_cannot_be_read_without_doubt_is_refused(text: str, message: str, tmp_path: Path) -> None:
    net = loaded(program(sample(data=NAMED), tmp_path))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        net.read_points(io.StringIO(text))


def test_a_heading_with_names_that_are_numbers_is_a_heading_unless_it_may_be_a_point(tmp_path: Path) -> None:
    data = {"n_points": 4, "n_features": 2, "feature_names": ["mass", "007"]}
    net = loaded(program(sample(data=data), tmp_path))
    assert net.read_points(io.StringIO("007,mass\n1,2\n")).tolist() == [[2, 1]]
    net = loaded(program(sample(data=data | {"feature_names": ["1", "2"]}), tmp_path))
    with pytest.raises(ValueError, match="may be a heading or a point: give --heading or --no-heading"):
        net.read_points(io.StringIO("2,1\n5,4\n"))
    assert net.read_points(io.StringIO("2,1\n5,4\n"), has_heading=True).tolist() == [[4, 5]]
    assert net.read_points(io.StringIO("2,1\n5,4\n"), has_heading=False).tolist() == [[2, 1], [5, 4]]


@pytest.mark.slow
def test_the_command_line_reports_a_refusal_in_one_line(tmp_path: Path) -> None:
    path = program(sample(), tmp_path)
    for text in ("1,2\n3\n", "\udcff,2\n"):
        done = run(path, text)
        assert (done.returncode, done.stdout) == (2, ""), text
        assert re.fullmatch(rf"{re.escape(str(path))}: .+\n", done.stderr)


@pytest.mark.slow
def test_an_option_decides_whether_the_first_line_is_a_heading(tmp_path: Path) -> None:
    path = program(sample(), tmp_path)
    assert len(run(path, "0,1\n3,4\n", "--heading").stdout.splitlines()) == 2
    assert len(run(path, "0,1\n3,4\n", "--no-heading").stdout.splitlines()) == 3
    assert run(path, "", "--help").stderr.startswith("usage: ")


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ([[1.0]], "shape"),
        ([1.0, 2.0], "shape"),
        ([[1.0, float("nan")]], "numbers between"),
        ([[1e31, 0.0]], "numbers between"),
        ([[1e30, 1e30]], "overflows float32"),
    ],
)
def test_impossible_points_are_refused(points: Any, reason: str, tmp_path: Path) -> None:
    one = sample("logistic", inputs=("x^2", "y^2"), offset=(0.0, 0.0), divisor=(1.0, 1.0))
    with pytest.raises(ValueError, match=reason):
        loaded(program(one, tmp_path)).predict(points)


def test_texts_of_clients_are_data_whatever_they_contain(tmp_path: Path) -> None:
    evil = ['"""\nraise SystemExit(7)\n"""', "'); raise SystemExit(7) #", "\\", "日本 \u2028 end", "{x}"]
    data = {"n_points": 4, "n_features": 2, "feature_names": evil[:2], "categories": {evil[2]: evil[3:]}}
    one = sample(data=data, classes=tuple(sorted(evil)))
    net = loaded(program(one, tmp_path))
    assert vars(net)["CLASSES"] == sorted(evil)
    assert vars(net)["FEATURES"] == evil[:2]
    assert vars(net)["CATEGORIES"] == {evil[2]: evil[3:]}
    assert net.predict(one.xy_ND) == one.labels
