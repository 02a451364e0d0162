"""The files for torch and safetensors, loaded by torch without this project."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from models.exports import safetensors_file, torch_programs
from models.networks.modules import Ensemble, build
from tests.models.exports.samples import ENSEMBLES, SHAPES, Sample, sample

SAMPLES: dict[str, dict[str, Any]] = {
    "sequential": {"activation": "gelu"},
    "module": {"kind": "module", **SHAPES["three classes"]},
    "logistic": {"kind": "logistic", **SHAPES["two classes"]},
    "two_layer": {"kind": "two_layer", **SHAPES["offset"]},
    "residual": {"kind": "residual", **SHAPES["derived inputs"]},
    "ensemble": ENSEMBLES["ensemble"],
    "raw-ensemble": ENSEMBLES["ensemble of raw parameters"],
    "plain-ensemble": {"members": 2},
}

PROGRAMS = ["module", "residual", "ensemble"]
"""The samples that are written as programs too, which takes a second each."""

READER = """
import sys
from pathlib import Path
import numpy as np
import torch

for name in sys.argv[1:]:
    net = torch.load(f"{name}.module.pt", weights_only=False)
    kind = type(net).__name__
    points = torch.tensor(np.load(f"{name}.npy"), dtype=torch.float32 if kind == "Sequential" else torch.float64)
    np.savez(f"{name}-module.npz", logits=net(points).detach().numpy(), kind=kind, keys=list(net.state_dict()))
for path in Path().glob("*.pt2"):
    name = path.stem
    extra = {"separatrix": ""}
    program = torch.export.load(f"{name}.pt2", extra_files=extra).module()
    points = torch.tensor(np.load(f"{name}.npy"))
    all, one = (program(some).detach().numpy() for some in (points, points[:1]))
    np.savez(f"{name}-program.npz", all=all, one=one, description=extra["separatrix"])
assert not {"models", "service"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Sample], Path]:
    """The samples, and a folder of what a process with plain torch has found in their files."""
    folder = tmp_path_factory.mktemp("torch")
    samples = {name: sample(**given) for name, given in SAMPLES.items()}
    for name, one in samples.items():
        np.save(folder / f"{name}.npy", one.xy_ND)
        (folder / f"{name}.module.pt").write_bytes(torch_programs.encode_module(one.exported))
    for name in PROGRAMS:
        one = samples[name]
        (folder / f"{name}.pt2").write_bytes(torch_programs.encode_program(one.exported))
    done = subprocess.run(
        [sys.executable, "-I", "-c", READER, *samples], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return samples, folder


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_plain_torch_loads_the_pickled_network_and_computes_the_same_logits(
    read: tuple[dict[str, Sample], Path], name: str
) -> None:
    one, found = read[0][name], np.load(read[1] / f"{name}-module.npz")
    np.testing.assert_allclose(found["logits"], one.logit_NO, rtol=0, atol=2e-5)
    assert found["kind"] == ("Sequential" if name in ("sequential", "module") else "GraphModule")
    assert set(one.exported.state) == {key for key in found["keys"].tolist() if not key.startswith("inputs.")}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_plain_torch_runs_the_program_for_any_number_of_points(read: tuple[dict[str, Sample], Path], name: str) -> None:
    one, found = read[0][name], np.load(read[1] / f"{name}-program.npz")
    np.testing.assert_allclose(found["all"], one.prob_NK, rtol=0, atol=3e-6)
    np.testing.assert_allclose(found["one"], one.prob_NK[:1], rtol=0, atol=3e-6)
    assert json.loads(str(found["description"])) == one.exported.description()


@pytest.mark.slow
def test_a_program_names_no_file_of_the_machine_that_wrote_it_and_is_always_the_same() -> None:
    one = sample("logistic")
    content = torch_programs.encode_program(one.exported)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = b"".join(archive.read(name) for name in archive.namelist())
    assert str(Path(__file__).parent.parent.parent.parent).encode() not in parts
    assert b"site-packages" not in parts
    assert torch_programs.encode_program(one.exported) == content


@pytest.mark.parametrize("members", [1, 3])
def test_safetensors_hold_the_state_dict_for_torch_and_the_description(members: int) -> None:
    one = sample("two_layer", members=members)
    content = safetensors_file.encode(one.exported)
    networks = [build(one.exported.card.network, 2, 2, seed=5) for _ in range(members)]
    network = networks[0] if members == 1 else Ensemble(networks, 1)
    network.load_state_dict(safetensors.torch.load(content))
    with torch.no_grad():
        logit_NO = network(torch.tensor(one.xy_ND, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(logit_NO, one.logit_NO, rtol=0, atol=2e-5)
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    assert {key: json.loads(text) for key, text in metadata.items()} == {"separatrix": one.exported.description()}
    assert safetensors_file.encode(one.exported) == content
