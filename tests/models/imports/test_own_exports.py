"""Files of every export format, read back: the same network, classes and names."""

import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import fx, nn

from models.exports import json_weights, onnx_graph, python_file, safetensors_file, torch_programs
from models.exports.exported import Exported
from models.imports.options import ImportOptions
from models.imports.reading import Imported, read
from models.specs import InvalidInput
from tests.models.exports.samples import EVERY_SAMPLE, sample
from tests.models.imports.files import small

ENCODERS: dict[str, Callable[[Exported], bytes]] = {
    "json": json_weights.encode,
    "onnx": onnx_graph.encode,
    "safetensors": safetensors_file.encode,
    "module": torch_programs.encode_module,
    "py": python_file.encode,
}

PROGRAMS = ("logistic, offset", "residual, derived inputs", "ensemble")
"""Samples that become programs of torch.export too, which takes a second each."""

NAMES: dict[str, Any] = {"data": {"n_points": 4, "n_features": 2, "feature_names": ["petal length", 'a "b" [c]']}}


def assert_the_same(found: Imported, exported: Exported) -> None:
    assert found.card.network == exported.card.network
    assert found.card.classes == exported.card.classes
    assert found.card.feature_names == exported.card.feature_names
    assert (found.card.offset, found.card.divisor) == (exported.card.offset, exported.card.divisor)
    assert found.state.keys() == exported.state.keys()
    for key, value in exported.state.items():
        np.testing.assert_array_equal(found.state[key], value)


@pytest.mark.slow
@pytest.mark.parametrize("form", ENCODERS)
def test_every_network_comes_back_to_the_bit(form: str, tmp_path: Path) -> None:
    for given in [*EVERY_SAMPLE.values(), NAMES]:
        exported = sample(points=1, **given).exported
        (tmp_path / "file").write_bytes(ENCODERS[form](exported))
        assert_the_same(read(tmp_path / "file", ImportOptions()), exported)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Exported, Path]]:
    """Programs of torch.export by the name of their sample."""
    folder = tmp_path_factory.mktemp("programs")
    found = {}
    for name in PROGRAMS:
        exported = sample(points=1, **EVERY_SAMPLE[name]).exported
        found[name] = exported, folder / f"{name}.pt2"
        found[name][1].write_bytes(torch_programs.encode_program(exported))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_torch_export_comes_back_to_the_bit(name: str, programs: dict[str, tuple[Exported, Path]]) -> None:
    exported, path = programs[name]
    assert_the_same(read(path, ImportOptions()), exported)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program of torch.export that another program wrote."""
    path = tmp_path_factory.mktemp("foreign") / "net.pt2"
    torch.export.save(torch.export.export(small(nn.ReLU()), (torch.zeros(2, 2),)), path)
    return path


@pytest.mark.slow
def test_a_program_of_another_author_is_read_like_a_state_dict(foreign: Path) -> None:
    with pytest.raises(InvalidInput, match="activation"):
        read(foreign, ImportOptions())
    found = read(foreign, ImportOptions(activation="relu"))
    assert found.card.imported["understood"][0].startswith("The file is a program of torch.export; its weights")
    for value, expected in zip(found.state.values(), small(nn.ReLU()).state_dict().values(), strict=True):
        np.testing.assert_array_equal(value, expected.numpy())


def test_a_traced_network_of_another_author_is_refused(tmp_path: Path) -> None:
    torch.save(fx.symbolic_trace(small()), tmp_path / "file")
    with pytest.raises(
        InvalidInput, match=r"reduce_graph_module.* is not a class of torch, and other code is never run"
    ):
        read(tmp_path / "file", ImportOptions())


def test_an_exported_file_of_python_is_read_and_not_run(tmp_path: Path) -> None:
    source = python_file.encode(sample(points=1).exported).decode()
    marker = tmp_path / "ran"
    (tmp_path / "file").write_text(source + f"\nopen({str(marker)!r}, 'w')\n")
    read(tmp_path / "file", ImportOptions())
    assert not marker.exists()


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("CLASSES = ['no', 'yes']", "CLASSES = list('ab')", "lacks something of an export"),
        ("SKIP = None", "SKIP = (", "lacks something of an export"),
        ("LAYERS = [", "LAYERS_OF_MINE = [", "lacks something of an export"),
        ("SKIP = None", "SKIP = " + "[" * 3_000 + "]" * 3_000, "lacks something of an export"),
        ("SKIP = None", "SKIP = None  # " + "x" * 2**20, "has more than 1,048,576 characters beside its weights"),
        ("'format_version': 1", "'format_version': 2", "newer release"),
        ("'tanh'", "'sine'", "must be one of relu"),
    ],
)
def test_a_changed_file_of_python_is_refused(old: str, new: str, reason: str, tmp_path: Path) -> None:
    source = python_file.encode(sample(points=1).exported).decode()
    assert old in source
    (tmp_path / "file").write_text(source.replace(old, new))
    with pytest.raises(InvalidInput, match=reason):
        read(tmp_path / "file", ImportOptions())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace('"as_int": 5', '"as_int": 500', 1), "has fewer bytes than its shape needs"),
        (lambda text: text.replace('"as_int": 5', '"as_int": 50000000', 1), "must have at most"),
        (lambda text: text.replace('"as_int": 5', '"as_int": -5', 1), "must have at most"),
        (lambda text: text.replace('"dtype": 7', '"dtype": 12', 1), "must be float16, bfloat16, float32 or float64"),
        (lambda text: text.replace('"use_pickle": false', '"use_pickle": true', 1), "is a pickled tensor"),
        (lambda text: text.replace("weight_0", "weight_99", 1), "is damaged"),
        (lambda text: text[:-9], "is damaged"),
    ],
)
@pytest.mark.slow
def test_a_changed_program_is_refused(
    change: Callable[[str], str], reason: str, programs: dict[str, tuple[Exported, Path]], tmp_path: Path
) -> None:
    with zipfile.ZipFile(programs["residual, derived inputs"][1]) as source:
        members = {name: source.read(name) for name in source.namelist()}
    (config,) = (name for name in members if name.endswith("model_weights_config.json"))
    members[config] = change(members[config].decode()).encode()
    with zipfile.ZipFile(tmp_path / "file", "w") as target:
        for name, content in members.items():
            target.writestr(name, content)
    with pytest.raises(InvalidInput, match=reason):
        read(tmp_path / "file", ImportOptions())


@pytest.mark.slow
def test_files_with_any_bytes_changed_are_read_or_refused(
    programs: dict[str, tuple[Exported, Path]], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    exported = sample(points=1).exported
    files = [ENCODERS["py"](exported), ENCODERS["module"](sample("residual", points=1).exported)]
    files.append(programs["logistic, offset"][1].read_bytes())
    for content in files:
        for _ in range(60):
            changed = bytearray(content)
            for place in rng.integers(0, len(content), rng.integers(1, 6)):
                changed[place] = rng.integers(0, 256)
            (tmp_path / "file").write_bytes(changed)
            with suppress(InvalidInput):
                read(tmp_path / "file", ImportOptions())
