from pathlib import Path

import numpy as np
import pytest

from tests.models.imports.files import saved, small, torch_probabilities
from tests.service.commands.test_cli import separatrix

CASES = Path(__file__).parents[2] / "models" / "imports" / "cases"


@pytest.mark.slow
def test_a_checkpoint_is_imported_and_predicts_as_torch_does(tmp_path: Path) -> None:
    data = tmp_path / "data"
    file = saved(small().state_dict(), tmp_path / "net.pth")
    done = separatrix("import", "mine", str(file), "--activation", "tanh", "--classes", "no,yes", data=data)
    assert done.exit_code == 0, done.stderr
    assert "read as a sequential network 2-4-1" in done.stdout
    assert "warning: The range of the data is unknown" in done.stdout
    assert "Published mine version 1" in done.stdout
    shown = separatrix("predict", "mine", "--point", "0.5,0.25", data=data).stdout.splitlines()
    expected = torch_probabilities(small(), np.array([[0.5, 0.25]], np.float32))[0]
    assert shown[0] == "x1,x2,label,p(no),p(yes)"
    np.testing.assert_allclose([float(cell) for cell in shown[1].split(",")[-2:]], expected, atol=1e-5)
    assert "imported" in separatrix("models", data=data).stdout
    picture = tmp_path / "mine.png"
    assert separatrix("boundary", "mine", str(picture), "--resolution", "20", data=data).exit_code == 0
    assert separatrix("import", "mine", str(CASES / "whole_module.pth"), data=data).exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mine", str(CASES / "half.pth")], "activation: must be given, such as tanh or relu"),
        (["mine", "missing.pth"], "missing.pth: No such file"),
        (["Mine!", str(CASES / "half.pth")], "model: must be 1 to 63 characters"),
        (["mine", str(Path(__file__))], "file: must be a PyTorch checkpoint"),
        (["mine", str(CASES / "half.pth"), "--activation", "tanh", "--offset", "1,x"], "offset: must be numbers"),
    ],
)
def test_what_cannot_be_imported_is_reported_in_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = separatrix("import", *arguments, data=tmp_path)
    assert done.exit_code in (1, 2)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
