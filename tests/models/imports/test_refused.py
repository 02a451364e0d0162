"""Files that are refused: the message names what is wrong and what to do, and nothing of the file has run."""

import gzip
import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, weight_norm

from models.imports.options import ImportOptions
from models.imports.reading import read
from models.specs import InvalidInput
from tests.models.imports.files import imported, renamed, saved, small, stack

Content = Callable[[], Any]


def of(**changes: Any) -> Content:
    """A state dict with some entries changed; None leaves one out."""

    def make() -> dict[str, Any]:
        state = {**small().state_dict(), **{key.replace("_", "."): value for key, value in changes.items()}}
        return {key: value for key, value in state.items() if value is not None}

    return make


def weight(*shape: int, **options: Any) -> torch.Tensor:
    return torch.zeros(*shape, **options)


def ensemble_of(state: dict[str, Any], networks: int) -> dict[str, Any]:
    return {f"members.{i}.{key}": value for i in range(networks) for key, value in state.items()}


def _optimizer() -> dict[str, Any]:
    return torch.optim.Adam(small().parameters()).state_dict()


def _normed() -> Any:
    network = small()
    weight_norm(network[0])
    return network


class Unknown(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


STATE_DICTS: dict[str, tuple[Content, str]] = {
    "a key is missing": (of(**{"2_weight": None}), "must have '2.weight' beside '2.bias'"),
    "a layer is missing": (
        lambda: stack(*[nn.Linear(2, 3), nn.Tanh()] * 2).state_dict(),
        "'2' takes 2 values, but the layer before it, '0', returns 3",
    ),
    "a key is too many": (of(**{"2_scale": weight(4)}), "'2.scale' is unknown"),
    "a bias of another shape": (of(**{"0_bias": weight(3)}), "'0.bias' must have the shape (4,), not (3,)"),
    "a convolution": (
        of(**{"0_weight": weight(4, 2, 1)}),
        "'0.weight' has the shape (4, 2, 1): only dense",
    ),
    "layer normalisation": (
        lambda: stack(nn.Linear(2, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 1)).state_dict(),
        "'1.weight' has the shape (4,), as in LayerNorm",
    ),
    "a recurrent network": (lambda: nn.LSTM(2, 3).state_dict(), "'weight_ih_l0' is a weight of a recurrent layer"),
    "weight norm": (lambda: _normed().state_dict(), "'0.weight_g' comes from weight_norm: call"),
    "a parametrization": (
        lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 1))).state_dict(),
        "comes from a parametrization: call",
    ),
    "pruning": (
        lambda: nn.Sequential(prune.l1_unstructured(nn.Linear(2, 1), "weight", 1)).state_dict(),
        "weight_orig' comes from pruning: call",
    ),
    "whole numbers": (of(**{"0_weight": weight(4, 2, dtype=torch.int64)}), "'0.weight' must be float16, bfloat16"),
    "complex numbers": (of(**{"0_weight": weight(4, 2, dtype=torch.complex64)}), "float64, not complex64"),
    "a sparse tensor": (of(**{"0_weight": weight(4, 2).to_sparse()}), "'0.weight' must be a dense tensor"),
    "a tensor without values": (of(**{"0_weight": weight(4, 2, device="meta")}), "'0.weight' must have values"),
    "an empty tensor": (of(**{"0_weight": weight(4, 0)}), "'0.weight' has the shape (4, 0), without any value"),
    "a value that is not a number": (of(**{"0_bias": weight(4) + torch.nan}), "'0.bias' must be finite"),
    "an infinite value": (of(**{"0_bias": weight(4) - torch.inf}), "'0.bias' must be finite"),
    "a value beyond float32": (
        of(**{"0_bias": torch.full((4,), 1e300, dtype=torch.float64)}),
        "the weights of '0' must fit into float32",
    ),
    "terabytes in a tiny file": (
        of(**{"0_weight": torch.zeros(1).expand(1_000_000, 1_000_000)}),
        "'0.weight' has the shape (1000000, 1000000): at most",
    ),
    "an array of numpy": (of(**{"0_weight": np.zeros((4, 2))}), "'0.weight' must be a tensor"),
    "a list of lists": (of(**{"0_weight": [[0.0, 1.0]] * 4}), "'0.weight' must be a tensor"),
    "a wide layer": (
        lambda: stack(nn.Linear(2, 1025), nn.Tanh(), nn.Linear(1025, 1)).state_dict(),
        "'0' must have at most 1,024 outputs",
    ),
    "many layers": (
        lambda: stack(*[nn.Linear(2, 2), nn.Tanh()] * 17, nn.Linear(2, 1)).state_dict(),
        "at most 16 hidden layers, but has 17",
    ),
    "many classes": (lambda: nn.Linear(2, 101).state_dict(), "at most 100 classes, but has 101"),
    "many features": (lambda: nn.Linear(1001, 1).state_dict(), "at most 1,000 features, but has 1,001"),
    "only batch norm": (lambda: nn.BatchNorm1d(2).state_dict(), "must have at least one dense (linear) layer"),
    "batch norm without its variance": (
        lambda: {"0.weight": weight(3, 2), "1.running_mean": weight(3), "2.weight": weight(1, 3)},
        "must have '1.running_var' beside the running mean",
    ),
    "negative variances": (
        lambda: {"0.weight": weight(3, 2), "1.running_mean": weight(3), "1.running_var": weight(3) - 1},
        "'1' must have positive variances",
    ),
    "only an optimizer": (_optimizer, "is the state of an optimizer, without the network"),
    "an optimizer in a dictionary": (
        lambda: {"optimizer": _optimizer(), "epoch": 3},
        "has the state of an optimizer ('optimizer'), but no weights",
    ),
    "no tensors": (lambda: {"epoch": 3, "lr": 0.1}, "has no tensors, only the entries 'epoch', 'lr'"),
    "an empty dictionary": (dict, "is an empty dictionary"),
    "a list": (lambda: [*small().parameters()], "is a list, without the names of layers"),
    "one tensor": (lambda: weight(2), "is a single tensor"),
    "a number": (lambda: 3, "is a int, not weights"),
    "another object": (lambda: Path("x"), "is an object of the class 'pathlib"),
    "lists of numbers": (lambda: OrderedDict(a=[1.0, 2.0]), "has no tensors, only the entries 'a'"),
    "keys that are no text": (lambda: {0: weight(2, 3)}, "must have strings as keys"),
    "a raw matrix without its vector": (lambda: {"w1": weight(2, 3)}, "must have the bias 'b1' beside 'w1'"),
    "raw matrices that do not follow": (
        lambda: {"w1": weight(2, 3), "b1": weight(3), "w2": weight(4, 1), "b2": weight(1)},
        "must have weights (inputs, outputs) that follow each other, but has 'w1' (2, 3)",
    ),
    "an ensemble of too many networks": (
        lambda: ensemble_of(small().state_dict(), networks=17),
        "must have at most 16 networks in an ensemble, but has 17",
    ),
    "an ensemble of different networks": (
        lambda: (
            {**ensemble_of(small().state_dict(), networks=2), "members.1.2.weight": weight(3, 4)}
            | {"members.1.2.bias": weight(3)}
        ),
        "must have the same layers and the same offset in each network of the ensemble",
    ),
    "a whole network of another class": (
        Unknown,
        "is not a class of torch, and other code is never run: save the weights",
    ),
    "a whole network with a layer of torch that is not dense": (
        lambda: stack(nn.Linear(2, 4), nn.LayerNorm(4), nn.Linear(4, 1)),
        "'1' of the class 'torch.nn.modules.normalization.LayerNorm' is not supported",
    ),
    "a whole network with two activations": (
        lambda: stack(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)),
        "'3' is relu, but a layer before it has tanh",
    ),
    "a whole network that ends in an activation": (
        lambda: stack(nn.Linear(2, 4), nn.ReLU()),
        "must return logits, but '1' applies relu",
    ),
    "a whole network with another slope": (
        lambda: small(nn.LeakyReLU(0.2)),
        "must have negative_slope=0.01, as leaky_relu has in this service",
    ),
    "a whole network with hooks": (_normed, "has hooks, as weight_norm"),
    "batch norm without statistics": (
        lambda: stack(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3)).append(nn.BatchNorm1d(3, track_running_stats=False)),
        "must have running statistics",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", STATE_DICTS)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
def test_a_checkpoint_that_cannot_be_read_says_which_part(tmp_path: Path, kind: str) -> None:
    make, reason = STATE_DICTS[kind]
    with pytest.raises(InvalidInput) as refused:
        imported(make(), tmp_path, activation="tanh" if "whole" not in kind else None)
    assert refused.value.field == "file"
    assert reason in refused.value.reason


def zipped(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), value)
    return content.getvalue()


def torch_file() -> bytes:
    content = io.BytesIO()
    torch.save(small().state_dict(), content)
    return content.getvalue()


def two_to_the_31() -> bytes:
    """A pickle that asks for a memo of 2^31 entries."""
    return zipped(a__data_pkl=b"\x80\x02}r\xff\xff\xff\x7f.", a__version=b"3")


FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (bytes, "is empty"),
    "a web page": (lambda: b"\n<!DOCTYPE html><html>Sign in</html>", "is a web page"),
    "Git LFS": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS"),
    "HDF5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(100), "is HDF5, as Keras writes it"),
    "gzip": (lambda: gzip.compress(torch_file()), "is compressed by gzip"),
    "a text": (lambda: b"0.1 0.2\n0.3 0.4\n", "must be a PyTorch checkpoint"),
    "an array of numpy": (lambda: b"\x93NUMPY" + bytes(100), "is a single NumPy array"),
    "arrays of numpy": (lambda: zipped(weight_npy=b"\x93NUMPY"), "is an archive of NumPy arrays"),
    "another archive": (lambda: zipped(word__document_xml=b"<w/>"), "is a zip archive that torch did not write"),
    "Keras": (lambda: zipped(config_json=b"{}"), "is an archive of Keras"),
    "cut off": (lambda: torch_file()[:-100], "damaged or cut off"),
    "cut off in a legacy file": (lambda: pickle.dumps(0x1950A86A20F9469CFC6C, 2)[:-3], "damaged or cut off"),
    "a plain pickle": (lambda: pickle.dumps({"w": [1.0]}, protocol=2), "torch.save did not write"),
    "a pickle of another protocol": (
        lambda: pickle.dumps({"w": [1.0]}, protocol=4),
        "pickle feature that is not supported",
    ),
    "a damaged pickle": (lambda: zipped(a__data_pkl=b"\x80\x02q", a__version=b"3"), "damaged or cut off"),
    "a large memo": (two_to_the_31, "is an empty dictionary"),
    "a bomb": (lambda: zipped(a__data_pkl=b".", a__data__0=bytes(2**30 + 1)), "at most 1,073,741,824 bytes after"),
    "many members": (lambda: zipped(**{f"a{i}": b"" for i in range(20_001)}), "at most 20,000 members"),
    "safetensors that are cut off": (lambda: (100).to_bytes(8, "little") + b'{"w":{"dtype"', "is not safetensors"),
    "safetensors that claim too much": (
        lambda: _safetensors('{"w":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4]}}'),
        "is not safetensors",
    ),
}


def _safetensors(header: str) -> bytes:
    return len(header).to_bytes(8, "little") + header.encode() + bytes(4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_not_a_checkpoint_says_what_it_is(tmp_path: Path, kind: str) -> None:
    make, reason = FILES[kind]
    path = tmp_path / "file"
    path.write_bytes(make())
    with pytest.raises(InvalidInput) as refused:
        read(path, ImportOptions())
    assert refused.value.field == "file"
    assert reason in refused.value.reason


class Attack:
    """Pickled as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


def touch(path: str) -> None:
    Path(path).touch()


def test_a_function_that_a_file_names_is_never_called(tmp_path: Path) -> None:
    import os

    marker = tmp_path / "was-here"
    network = small()
    for attack in (Attack(touch, str(marker)), Attack(eval, f"open({str(marker)!r}, 'w')")):
        found = imported({"model": network.state_dict(), "extra": attack}, tmp_path, activation="tanh")
        assert len(found.state) == 4
    with pytest.raises(InvalidInput, match="object beside the weights that cannot be read"):
        imported({"model": network.state_dict(), "extra": Attack(marker.touch)}, tmp_path)
    with pytest.raises(InvalidInput, match="functions of the operating system"):
        imported({"model": network.state_dict(), "extra": Attack(os.system, f"touch {marker}")}, tmp_path)
    network.forward = Attack(touch, str(marker))  # type: ignore[assignment]
    imported(network, tmp_path)
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_program_of_torchscript_is_never_run(tmp_path: Path) -> None:
    """It would write a file when it is loaded; here only its class, which is not known, is named."""
    torch.jit.save(torch.jit.script(Unknown()), tmp_path / "net.pt")
    with pytest.raises(InvalidInput, match=r"Unknown' is not a class of torch, and other code is never run"):
        read(tmp_path / "net.pt", ImportOptions())


def nested(depth: int) -> Any:
    value: Any = small().state_dict()
    for _ in range(depth):
        value = {"in": value}
    return value


NAMES = {"0": "fc1", "1": "bn1", "3": "fc2"}
OPTIONS: dict[str, tuple[Content, dict[str, Any], str, str]] = {
    "no activation": (of(), {}, "activation", "a state dict does not contain"),
    "several entries": (
        lambda: {"model": small().state_dict(), "ema": small().state_dict()},
        {},
        "entry",
        "several entries have weights: 'model', 'ema'",
    ),
    "an unknown entry": (lambda: {"model": small().state_dict()}, {"entry": "ema"}, "entry", "must be one of 'model'"),
    "batch norm of unknown place": (
        lambda: renamed(stack(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1)).state_dict(), **NAMES),
        {},
        "batch_norm",
        "must be given, before or after",
    ),
    "a residual network or a chain": (
        lambda: renamed(
            stack(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)).state_dict(),
            **{"0": "layer1", "2": "layer2.0", "4": "layer2.2"},
        ),
        {},
        "kind",
        "must be given, residual or sequential",
    ),
    "logistic with a hidden layer": (of(), {"kind": "logistic"}, "kind", "the file has 1 hidden layers"),
    "residual without a branch": (of(), {"kind": "residual"}, "kind", "must not be residual"),
    "too few classes": (of(), {"classes": ("a",)}, "classes", "must be 2 different labels"),
    "equal classes": (of(), {"classes": ("a", "a")}, "classes", "must be 2 different labels"),
    "too many names": (of(), {"feature_names": ("a", "b", "c")}, "feature_names", "must have one name for each"),
    "a short offset": (of(), {"offset": (1.0,)}, "offset", "must have 2 values"),
    "a divisor of 0": (of(), {"divisor": (1.0, 0.0)}, "divisor", "must be greater than 0"),
    "an infinite offset": (of(), {"offset": (1.0, np.inf)}, "offset", "each must be between"),
    "half a range": (of(), {"data_min": (0.0, 0.0)}, "data_max", "is required if the other end"),
    "a range upside down": (of(), {"data_min": (0.0, 1.0), "data_max": (1.0, 0.0)}, "data_max", "at least data_min"),
    "derived inputs without a number of features": (of(), {"inputs": ("x", "y")}, "inputs", "give feature_names"),
    "too many derived inputs": (
        of(),
        {"inputs": ("x", "y", "x*y"), "offset": (0.0, 0.0)},
        "inputs",
        "must expand to 2 terms",
    ),
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_doubt_names_the_option_that_decides(tmp_path: Path, kind: str) -> None:
    make, options, field, reason = OPTIONS[kind]
    given = {"activation": "tanh"} if kind != "no activation" else {}
    with pytest.raises(InvalidInput) as refused:
        imported(make(), tmp_path, **given | options)
    assert refused.value.field == field
    assert reason in refused.value.reason


@pytest.mark.slow
def test_depth_and_entries_are_bounded(tmp_path: Path) -> None:
    assert len(imported(nested(32), tmp_path, activation="tanh").state) == 4
    with pytest.raises(InvalidInput, match="at most 32 deep"):
        imported(nested(34), tmp_path, activation="tanh")
    with pytest.raises(InvalidInput, match="at most 100,000 entries"):
        imported({"a": dict.fromkeys(range(100_001))}, tmp_path)


def test_the_values_of_all_tensors_together_are_bounded(tmp_path: Path) -> None:
    content = {f"{2 * i}.weight": torch.zeros(1).expand(1024, 1024) for i in range(8)}
    with pytest.raises(InvalidInput, match="at most 4,000,000 weights in all"):
        imported(content, tmp_path, activation="tanh")
    square = torch.zeros(1).expand(1000, 1000)
    half = {"0.weight": square, "2.weight": square, "4.weight": square[:1]}
    with pytest.raises(InvalidInput, match="at most 4,000,000 weights in all"):
        imported(ensemble_of(half, networks=2), tmp_path, activation="tanh")


def test_layers_of_safetensors_whose_order_is_open_are_refused(tmp_path: Path) -> None:
    import safetensors.torch

    content = {f"{name}.weight": torch.zeros(4, 4) for name in ("first", "second")}
    safetensors.torch.save_file(content, tmp_path / "net.safetensors")
    with pytest.raises(InvalidInput, match="fit together in several orders"):
        read(tmp_path / "net.safetensors", ImportOptions(activation="tanh"))


def test_an_order_that_contradicts_the_numbers_is_refused(tmp_path: Path) -> None:
    content = {f"fc{i}.weight": torch.zeros(4, 4) for i in (2, 1)}
    with pytest.raises(InvalidInput, match="contradicts their numbers"):
        imported(content, tmp_path, activation="tanh")
    assert saved(content, tmp_path / "again.pth").exists()
