"""Damaged files of datasets and networks are read, or refused with a clear message. They cause no other error."""

import io
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import safetensors.torch
import torch
from hypothesis import given

from models.exports.formats import FORMATS as EXPORTS
from models.imports.options import ImportOptions
from models.imports.reading import read
from models.specs import InvalidInput
from service.datasets.reading import Task, run
from tests.fuzz.damage import damaged, few
from tests.fuzz.test_requests import arrow, npy
from tests.models.exports.samples import sample
from tests.models.imports.files import scripted, small

TABLE = pa.table({"x": [0.5, 1.5, -2.0, 3.0], "y": [1, 2, 3, 4], "label": ["a", "b", "a", "b"]})


def content(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def assert_read_or_refused(read_all: Callable[[bytes], None], valid: bytes) -> None:
    """Asserts that `read_all` accepts a valid file, and that no damaged copy raises any error but `InvalidInput`."""
    read_all(valid)

    @few
    @given(damaged(valid))
    def check(body: bytes) -> None:
        with suppress(InvalidInput):
            read_all(body)

    check()


DATASETS: dict[str, tuple[str, bytes]] = {
    "csv": ("csv", b"x;y;label\n0,5;1;a\n1,5;2;b\n-2;3;'a'\n3;4;\"b\"\n"),
    "csv-utf-16": ("csv", "x,y,label\n0.5,1,a\n1.5,2,b\n".encode("utf-16")),
    "npy": ("npy", npy(np.array([[0.5, 1, 0], [1.5, 2, 1], [-2, 3, 0]]))),
    "npy-structured": (
        "npy",
        npy(np.array([(0.5, 1, b"a"), (1, 2, b"b")], [("x", "f4"), ("y", "i4"), ("label", "S1")])),
    ),
    "npz": ("npz", content(lambda file: np.savez(file, X=np.eye(3), y=np.array(["a", "b", "a"])))),
    "json": ("json", json.dumps({"points": [[0.5, 1], [1, 2]], "labels": ["a", "b"]}).encode()),
    "json-records": ("json", json.dumps([{"x": 0.5, "y": 1, "label": "a"}, {"x": 1, "y": 2, "label": "b"}]).encode()),
    "arrow-stream": ("arrow-stream", arrow(TABLE)),
    "arrow-file": ("arrow-file", content(lambda file: pa.feather.write_feather(TABLE, file, compression="lz4"))),
    "parquet": ("parquet", content(lambda file: pa.parquet.write_table(TABLE, file))),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DATASETS)
def test_a_damaged_file_of_a_dataset_is_read_or_refused(tmp_path: Path, name: str) -> None:
    kind, valid = DATASETS[name]
    task = Task(
        name="fuzzed", title="file", format=kind, options={"label": "-1"} if name == "npy" else {}, folder=str(tmp_path)
    )

    def read_all(body: bytes) -> None:
        with (tmp_path / "sent").open("w+b") as file:
            file.write(body)
            file.seek(0)
            stored = run(task, file)
            (tmp_path / f"{stored.file}.npz").unlink()

    assert_read_or_refused(read_all, valid)
    assert {path.name for path in tmp_path.iterdir()} == {"sent"}, "a refused file leaves files behind"


OWN = {one.name: one for one in EXPORTS if one.encode is not None}
NETWORKS: dict[str, Callable[[], bytes]] = {
    "state-dict": lambda: content(lambda file: torch.save(small().state_dict(), file)),
    "state-dict-legacy": lambda: content(
        lambda file: torch.save(small().state_dict(), file, _use_new_zipfile_serialization=False)
    ),
    "whole-network": lambda: content(lambda file: torch.save(small(), file)),
    "torchscript": lambda: scripted(small()),
    "safetensors-of-others": lambda: safetensors.torch.save(dict(small().state_dict())),
    **{name: lambda one=one: one.encode(sample(points=1).exported) for name, one in OWN.items()},
}
"""Writes a file of a network, by name: in formats of other programs, and in those of our exports."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit", "ignore:invalid escape sequence")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_damaged_file_of_a_network_is_read_or_refused(tmp_path: Path, name: str) -> None:
    valid = NETWORKS[name]()
    path = tmp_path / "file"

    options = ImportOptions(activation="tanh" if name.startswith(("state-dict", "safetensors-of")) else None)

    def read_all(body: bytes) -> None:
        path.write_bytes(body)
        state = read(path, options).state
        assert all(np.isfinite(array).all() for array in state.values())

    assert_read_or_refused(read_all, valid)
