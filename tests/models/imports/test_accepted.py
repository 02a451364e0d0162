"""Checkpoints that are read: each answers as torch does with the network that it came from."""

import json
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from models.imports.options import ImportOptions
from models.imports.reading import Imported, read
from models.networks.modules import Logistic, Residual, TwoLayer
from tests.models.imports.files import (
    imported,
    points,
    probabilities,
    renamed,
    saved,
    scripted,
    small,
    stack,
    torch_probabilities,
)

CASES = Path(__file__).parent / "cases"


def assert_equal(found: Imported, network: nn.Module, *, features: int = 2, tolerance: float = 2e-6) -> None:
    xy_ND = points(features)
    np.testing.assert_allclose(probabilities(found, xy_ND), torch_probabilities(network, xy_ND), atol=tolerance)


def understood(found: Imported) -> str:
    assert found.card.imported is not None
    return " ".join([*found.card.imported["understood"], *found.card.warnings])


def case_network(name: str) -> nn.Module:
    """The network of a case, put together by hand from what torch loads."""
    value: Any = torch.load(CASES / name, weights_only=False)
    if isinstance(value, nn.Module):
        return value
    value = value.get("state_dict", value)
    arrays = [tensor.float() for tensor in value.values() if isinstance(tensor, torch.Tensor)]
    network = small(outputs=len(arrays[-1]))
    network.load_state_dict(dict(zip(network.state_dict(), arrays, strict=True)))
    return network


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("module_prefix.pth", "prefix 'module.'"),
        ("wrapped.pth", "entry 'state_dict'. Left out: 'epoch', 'optimizer'"),
        ("half.pth", "float16; they are widened to float32"),
        ("numpy_scalar.pth", "not weights: 'best_acc'"),
        ("dropout_between.pth", "2 dense layers, with tanh after '0'"),
        ("two_logits.pth", "two logits of two classes become one"),
        ("whole_module.pth", "whole network"),
    ],
)
def test_the_cases_of_public_reports_are_read_and_say_what_was_done(name: str, said: str) -> None:
    found = read(CASES / name, ImportOptions(activation="tanh"))
    assert said in understood(found)
    assert [*found.state] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert_equal(found, case_network(name))


def test_float32_weights_stay_the_same_to_the_bit(tmp_path: Path) -> None:
    network = small()
    found = imported(network.state_dict(), tmp_path, activation="tanh")
    for key, value in network.state_dict().items():
        np.testing.assert_array_equal(found.state[key], value.numpy())


def module_names(prefix: str) -> Callable[[nn.Module], Any]:
    return lambda network: {f"{prefix}{key}": value for key, value in network.state_dict().items()}


def with_buffers(network: nn.Module) -> Any:
    return {**network.state_dict(), "mean": np.float64(3), "step": torch.tensor(7), "name": "net", "nothing": None}


class Settings(SimpleNamespace):
    """A class that the reader does not know."""


WRITERS: dict[str, Callable[[nn.Sequential], Any]] = {
    "compiled": module_names("_orig_mod."),
    "nested prefixes": module_names("module._orig_mod.model.net."),
    "a dictionary in dictionaries": lambda network: {"a": {"model_state_dict": network.state_dict()}, "epoch": 3},
    "a plain dictionary": lambda network: dict(network.state_dict()),
    "an ordered dictionary": lambda network: OrderedDict(network.state_dict()),
    "a default dictionary": lambda network: {"model": defaultdict(list, network.state_dict())},
    "parameters": lambda network: dict(network.named_parameters()),
    "values beside the weights": with_buffers,
    "objects beside the weights": lambda network: {
        "state_dict": network.state_dict(),
        "hyper_parameters": Settings(width=4, folder=Path("data")),
        "callbacks": {Settings: [1, {2}]},
        "random": np.random.default_rng(0),
        "array": np.arange(3.0),
    },
    "named layers": lambda network: renamed(network.state_dict(), **{"0": "layer1", "2": "layer3"}),
    "numbered layers": lambda network: renamed(network.state_dict(), **{"0": "fc1", "2": "fc2"}),
    "layers without numbers": lambda network: renamed(network.state_dict(), **{"0": "hidden", "2": "output"}),
    "a list of modules": lambda network: renamed(network.state_dict(), **{"0": "layers.0", "2": "layers.1"}),
    "a list of modules with the name of networks of an ensemble": lambda network: renamed(
        network.state_dict(), **{"0": "members.0", "2": "members.1"}
    ),
    "two blocks": lambda network: renamed(network.state_dict(), **{"0": "features.0", "2": "head.0"}),
    "gaps": lambda network: renamed(network.state_dict(), **{"0": "net.1", "2": "net.7"}),
    "float64": lambda network: network.double().state_dict(),
    "not contiguous": lambda network: {
        key: torch.stack([value, value], -1)[..., 0] for key, value in network.state_dict().items()
    },
    "a view of a large tensor": lambda network: {
        key: torch.cat([value.flatten(), torch.zeros(1000)])[: value.numel()].view(value.shape)
        for key, value in network.state_dict().items()
    },
    "an average of weights beside": lambda network: {"net": network.state_dict(), "optimizer": _optimizer(network)},
    "the whole network in a dictionary": lambda network: {"model": network, "epoch": 3},
    "a data-parallel network": nn.DataParallel,
}


def _optimizer(network: nn.Module) -> Any:
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.zeros(3, 2)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITERS)
def test_state_dicts_are_read_whatever_is_around_them(tmp_path: Path, kind: str) -> None:
    content = WRITERS[kind](network := small())
    assert_equal(imported(content, tmp_path, activation="tanh"), network.float())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_types_are_widened_exactly(tmp_path: Path, dtype: torch.dtype) -> None:
    network = small().to(dtype)
    found = imported(network.state_dict(), tmp_path, activation="tanh")
    for key, value in network.state_dict().items():
        np.testing.assert_array_equal(found.state[key], value.float().numpy())
    assert "widened to float32" in understood(found)


def test_files_of_old_releases_of_torch_are_read(tmp_path: Path) -> None:
    network = small()
    path = saved({"net": network.state_dict()}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert_equal(read(path, ImportOptions(activation="tanh")), network)


def test_tensors_of_a_gpu_are_read_on_the_cpu(tmp_path: Path) -> None:
    network = small()
    content = saved(network.state_dict(), tmp_path / "cpu.pth", _use_new_zipfile_serialization=False).read_bytes()
    path = tmp_path / "cuda.pth"  # a legacy file has the name of the device of each storage as text
    path.write_bytes(content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"))
    assert_equal(read(path, ImportOptions(activation="tanh")), network)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "silu", "softplus", "tanh", "sigmoid"])
def test_the_activation_is_the_one_that_the_client_names(tmp_path: Path, activation: str) -> None:
    modules = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "silu": nn.SiLU, "softplus": nn.Softplus}
    network = small((modules | {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid})[activation]())
    assert_equal(imported(network.state_dict(), tmp_path, activation=activation), network)
    assert_equal(imported(network, tmp_path), network)


def test_gelu_with_tanh_is_imported_and_exact_gelu_only_on_request(tmp_path: Path) -> None:
    assert_equal(imported(small(nn.GELU(approximate="tanh")), tmp_path), small(nn.GELU(approximate="tanh")))
    found = imported(small(nn.GELU()), tmp_path, activation="gelu")
    assert_equal(found, small(nn.GELU()), tolerance=1e-3)
    assert "although its settings differ" in understood(found)


@pytest.mark.parametrize("outputs", [1, 2, 3, 5])
def test_any_number_of_outputs_is_read(tmp_path: Path, outputs: int) -> None:
    network = stack(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, outputs))
    found = imported(network.state_dict(), tmp_path, activation="relu")
    assert found.card.classes == tuple(range(max(2, outputs)))
    assert_equal(found, network, features=3)


def test_the_raw_parameters_of_the_tutorial_are_read(tmp_path: Path) -> None:
    line = Logistic(2, 1)
    found = imported(line.state_dict(), tmp_path)
    assert found.card.network.kind == "logistic"
    assert_equal(found, line)
    assert_equal(imported(line, tmp_path), line)
    network = TwoLayer(2, 4, 3, nn.Tanh())
    nn.init.normal_(network.w1)
    nn.init.normal_(network.w2)
    found = imported(module_names("module.")(network), tmp_path, activation="tanh")
    assert found.card.network.kind == "two_layer"
    assert_equal(found, network)
    assert_equal(imported(network, tmp_path), network)


def test_raw_parameters_in_the_other_order_are_turned(tmp_path: Path) -> None:
    network = small()
    tensors = [*network.state_dict().values()]
    content = dict(zip(("W1", "b1", "W2", "b2"), [*tensors[:1], tensors[1][:, None], *tensors[2:]], strict=True))
    found = imported(content, tmp_path, activation="tanh")
    assert "(outputs, inputs)" in understood(found)
    assert_equal(found, network)


def test_a_residual_network_is_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Residual(nn.Linear(2, 1), small())
    for content in (network.state_dict(), network):
        found = imported(content, tmp_path, activation="tanh")
        assert found.card.network.kind == "residual"
        assert_equal(found, network)


def test_a_residual_network_of_two_logits_keeps_its_probabilities(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Residual(nn.Linear(3, 2), stack(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)))
    assert_equal(imported(network.state_dict(), tmp_path, activation="tanh"), network, features=3)


def test_a_chain_with_the_names_of_a_residual_network_is_read_as_the_client_says(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2))
    content = renamed(network.state_dict(), **{"0": "layer1", "2": "layer2.0", "4": "layer2.2"})
    assert_equal(imported(content, tmp_path, activation="tanh", kind="sequential"), network)
    residual = Residual(nn.Linear(2, 2), stack(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)))
    residual.load_state_dict(content)
    assert_equal(imported(content, tmp_path, activation="tanh", kind="residual"), residual)


def test_layers_without_a_bias_get_zero(tmp_path: Path) -> None:
    network = stack(nn.Linear(2, 4, bias=False), nn.Tanh(), nn.Linear(4, 1, bias=False))
    found = imported(network.state_dict(), tmp_path, activation="tanh")
    assert "'0' has no bias" in understood(found)
    assert_equal(found, network)


BATCH_NORMS: dict[str, nn.Sequential] = {
    "before the activation": stack(
        nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 1)
    ),
    "after the activation": stack(nn.Linear(2, 4), nn.Tanh(), nn.BatchNorm1d(4), nn.Linear(4, 1)),
    "of the inputs": stack(nn.BatchNorm1d(2), nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)),
    "at the end": stack(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3), nn.BatchNorm1d(3)),
    "with dropout": stack(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(), nn.Linear(4, 3)),
}


@pytest.mark.parametrize("kind", BATCH_NORMS)
def test_batch_norm_becomes_part_of_the_layers_beside_it(tmp_path: Path, kind: str) -> None:
    network = BATCH_NORMS[kind]
    assert_equal(imported(network, tmp_path), network)
    found = imported(network.state_dict(), tmp_path, activation="tanh")
    assert "eps of BatchNorm" in understood(found)
    assert_equal(found, network)


def test_batch_norm_without_weights_and_with_another_eps_is_read(tmp_path: Path) -> None:
    network = stack(nn.Linear(2, 4), nn.BatchNorm1d(4, eps=0.5), nn.Tanh(), nn.Linear(4, 1))
    assert_equal(imported(network, tmp_path), network)
    network[1] = nn.BatchNorm1d(4, affine=False).eval()
    assert_equal(imported(network.state_dict(), tmp_path, activation="tanh"), network)


@pytest.mark.parametrize(("place", "position"), [("before", 1), ("after", 2)])
def test_the_client_says_where_batch_norm_stands_if_the_names_do_not(tmp_path: Path, place: Any, position: int) -> None:
    layers: list[nn.Module] = [nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)]
    layers.insert(position, nn.BatchNorm1d(4))
    network = stack(*layers)
    names = {"0": "fc1", str(position): "bn1", "3": "fc2"}
    content = renamed(network.state_dict(), **names)
    assert_equal(imported(content, tmp_path, activation="tanh", batch_norm=place), network)


def test_batch_norm_of_inputs_far_from_zero_keeps_their_digits(tmp_path: Path) -> None:
    network = stack(nn.BatchNorm1d(2), nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    mean = torch.tensor([1_700_000_000.0, -3.0])
    network[0].running_mean.copy_(mean)
    xy_ND = points().astype(np.float64) + mean.numpy()
    found = imported(network, tmp_path)
    exact = torch_probabilities(network.double(), xy_ND)
    np.testing.assert_allclose(probabilities(found, xy_ND), exact, atol=2e-6)


def test_layers_in_a_row_and_unused_modules_of_a_whole_network_are_combined(tmp_path: Path) -> None:
    network = stack(
        nn.Identity(),
        nn.Sequential(nn.Linear(2, 5), nn.Linear(5, 4), nn.ReLU(inplace=True)),
        nn.Dropout(0.3),
        nn.Linear(4, 2),
        nn.Softmax(dim=1),
    )
    found = imported(network, tmp_path)
    assert found.card.network.hidden == (4,)
    with torch.no_grad():
        np.testing.assert_allclose(probabilities(found, points()), network(torch.tensor(points())).numpy(), atol=2e-6)


def test_a_sigmoid_at_the_end_of_a_whole_network_is_left_out(tmp_path: Path) -> None:
    found = imported(nn.Sequential(*small(), nn.Sigmoid()), tmp_path)
    assert "sigmoid at the end is left out" in understood(found)
    assert_equal(found, small())


@pytest.mark.slow
@pytest.mark.parametrize("make", [torch.jit.script, lambda net: torch.jit.trace(net, torch.zeros(3, 2))])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torchscript_is_read_without_running_its_program(tmp_path: Path, make: Callable[[nn.Module], Any]) -> None:
    network = stack(
        nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)
    )
    torch.jit.save(make(network), tmp_path / "net.pt")
    found = read(tmp_path / "net.pt", ImportOptions())
    assert found.card.imported is not None
    assert found.card.imported["format"] == "torchscript"
    assert_equal(found, network)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_settings_of_scripted_activations_are_read_from_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(scripted(small(nn.LeakyReLU())))
    assert_equal(read(path, ImportOptions()), small(nn.LeakyReLU()))


@pytest.mark.parametrize("layers", [{"0": "0", "2": "2"}, {"0": "zeta", "2": "alpha"}, {"0": "fc9", "2": "fc10"}])
def test_safetensors_are_read_although_their_keys_have_no_order(tmp_path: Path, layers: dict[str, str]) -> None:
    network = small()
    safetensors.torch.save_file(renamed(network.state_dict(), **layers), tmp_path / "net.safetensors")
    found = read(tmp_path / "net.safetensors", ImportOptions(activation="tanh"))
    assert_equal(found, network)


def test_the_scale_of_the_inputs_becomes_part_of_the_network(tmp_path: Path) -> None:
    network, mean, deviation = small(), np.array([5.8, 3.1]), np.array([0.8, 0.4])
    found = imported(network.state_dict(), tmp_path, activation="tanh", offset=tuple(mean), divisor=tuple(deviation))
    data_ND = points() * deviation + mean
    np.testing.assert_allclose(probabilities(found, data_ND), torch_probabilities(network, points()), atol=2e-6)
    assert (found.card.low, found.card.high) == (tuple(mean - 2 * deviation), tuple(mean + 2 * deviation))
    assert found.card.range_is_assumed


def test_the_scale_applies_to_both_branches_of_a_residual_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, mean, deviation = Residual(nn.Linear(2, 1), small()), np.array([1.7e9, 3.1]), np.array([30.0, 0.4])
    found = imported(network.state_dict(), tmp_path, activation="tanh", offset=tuple(mean), divisor=tuple(deviation))
    data_ND = points().astype(np.float64) * deviation + mean
    exact = torch_probabilities(network.double(), (data_ND - mean) / deviation)
    np.testing.assert_allclose(probabilities(found, data_ND), exact, atol=2e-6)


def test_derived_inputs_are_computed_before_the_network(tmp_path: Path) -> None:
    network = stack(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    found = imported(network.state_dict(), tmp_path, activation="tanh", inputs=("x", "y", "x*y"), offset=(1.0, 2.0))
    xy_ND = points()
    x_N, y_N = xy_ND[:, 0] - 1, xy_ND[:, 1] - 2
    inputs_N3 = np.stack([x_N, y_N, x_N * y_N], 1)
    np.testing.assert_allclose(probabilities(found, xy_ND), torch_probabilities(network, inputs_N3), atol=2e-6)


def test_names_classes_and_range_are_those_that_the_client_gives(tmp_path: Path) -> None:
    found = imported(
        small().state_dict(),
        tmp_path,
        activation="tanh",
        classes=("no", "yes"),
        feature_names=("length", "width"),
        data_min=(0.0, 1.0),
        data_max=(4.0, 5.0),
    )
    card = found.card
    assert (card.classes, card.feature_names, card.low, card.high) == (
        ("no", "yes"),
        ("length", "width"),
        (0.0, 1.0),
        (4.0, 5.0),
    )
    assert not card.range_is_assumed
    assert card.warnings == ()
    assert json.loads(type(card).from_json(card.to_json()).to_json()) == json.loads(card.to_json())


def test_the_entry_that_the_client_names_is_taken(tmp_path: Path) -> None:
    content = {"model": small(seed=1).state_dict(), "ema": {"state_dict": small(seed=2).state_dict()}}
    assert_equal(imported(content, tmp_path, activation="tanh", entry="ema.state_dict"), small(seed=2))
    assert_equal(imported(content, tmp_path, activation="tanh", entry="model"), small(seed=1))
