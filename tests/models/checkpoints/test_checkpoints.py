import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.checkpoints import atomic, cards, torch_files
from models.checkpoints.cards import (
    ARRAYS_FILE,
    CARD_FILE,
    NETWORK_FILE,
    Card,
    DamagedCheckpoint,
)
from models.datasets import generate
from models.inference.numpy_forward import logits
from models.networks.modules import arrays_of, build
from models.specs import NETWORK_KINDS, DatasetSpec, NetworkKind, NetworkSpec, TrainingSpec

FLOWER = generate(DatasetSpec())


def card_for(spec: NetworkSpec, classes: tuple[int | str, ...] = ("red", "blue")) -> Card:
    return Card(
        network=spec,
        features=2,
        classes=classes,
        training=TrainingSpec(),
        data={"dataset": "flower"},
        data_digest=FLOWER.digest,
        low=(-4.0, -4.0),
        high=(4.0, 4.0),
        recipe="0" * 64,
        stop_reason="completed",
        epochs=10_000,
        metrics={"training_loss": 0.1, "validation_loss": None},
        created_at="2026-01-01T00:00:00+00:00",
        software={"torch": torch.__version__},
        files={},
    )


def run_plain_torch(script: str, folder: Path) -> str:
    """The output of a script that has torch but not Separatrix: it runs isolated, in another folder."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


@pytest.mark.parametrize("kind", NETWORK_KINDS)
def test_a_saved_checkpoint_gives_the_same_answers_with_torch_and_without(kind: NetworkKind, tmp_path: Path) -> None:
    spec = NetworkSpec(kind=kind)
    network = build(spec, 2, 2, seed=1)
    card_digest = torch_files.save(tmp_path / "one", arrays_of(network), card_for(spec))

    card, plan = cards.read(tmp_path / "one", card_digest=card_digest)
    again = torch_files.load(tmp_path / "one" / NETWORK_FILE, spec, 2, 2)

    with torch.no_grad():
        expected = network(torch.from_numpy(FLOWER.xy_ND))
        assert torch.equal(again(torch.from_numpy(FLOWER.xy_ND)), expected)
    np.testing.assert_allclose(logits(plan, FLOWER.xy_ND), expected.numpy(), atol=1e-5)
    assert card == card_for(spec).__class__(**vars(card_for(spec)) | {"files": card.files})


@pytest.mark.processes
def test_a_plain_torch_script_loads_a_checkpoint_into_the_tutorials_network(tmp_path: Path) -> None:
    spec = NetworkSpec()
    network = build(spec, 2, 2, seed=1)
    torch_files.save(tmp_path / "one", arrays_of(network), card_for(spec))
    printed = run_plain_torch(
        "import sys, torch; from torch import nn\n"
        "assert not any(name.startswith(('models', 'service')) for name in sys.modules)\n"
        "net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))\n"
        f"net.load_state_dict(torch.load('one/{NETWORK_FILE}', weights_only=True))\n"
        "print(net(torch.tensor([[0.5, -0.25]])).item())",
        tmp_path,
    )
    assert float(printed) == network(torch.tensor([[0.5, -0.25]])).item()


@pytest.mark.processes
def test_a_checkpoint_saved_by_a_plain_torch_script_can_be_loaded(tmp_path: Path) -> None:
    printed = run_plain_torch(
        "import torch; from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, num_input, num_hidden, num_output):\n"
        "        super().__init__()\n"
        "        self.layer1 = nn.Linear(num_input, num_hidden)\n"
        "        self.layer2 = nn.Tanh()\n"
        "        self.layer3 = nn.Linear(num_hidden, num_output)\n"
        "    def forward(self, x):\n"
        "        return self.layer3(self.layer2(self.layer1(x)))\n"
        "net = Net(2, 4, 1)\n"
        "torch.save(net.state_dict(), 'module_net.pth')\n"
        "print(net(torch.tensor([[0.5, -0.25]])).item())",
        tmp_path,
    )
    network = torch_files.load(tmp_path / "module_net.pth", NetworkSpec(kind="module"), 2, 2)
    assert network(torch.tensor([[0.5, -0.25]])).item() == float(printed)


class Evil:
    """Pickles as a function call."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pwned",)


GOOD = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).state_dict()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda path: path.write_bytes(b""), id="an empty file"),
        pytest.param(lambda path: path.write_bytes(b"PK\x03\x04" + b"\0" * 100), id="a broken zip"),
        pytest.param(lambda path: path.write_bytes(pickle.dumps(Evil())), id="a pickle that calls a function"),
        pytest.param(lambda path: torch.save(Evil(), path), id="a torch file that calls a function"),
        pytest.param(lambda path: torch.save(nn.Linear(2, 1), path), id="a whole module"),
        pytest.param(lambda path: torch.save([1, 2], path), id="a list"),
        pytest.param(lambda path: torch.save({"0.weight": 3}, path), id="no tensors"),
        pytest.param(lambda path: torch.save({}, path), id="no keys"),
        pytest.param(lambda path: torch.save(GOOD | {"4.bias": torch.zeros(1)}, path), id="a key too many"),
        pytest.param(lambda path: torch.save(GOOD | {"2.bias": torch.zeros(2)}, path), id="another shape"),
        pytest.param(lambda path: torch.save(GOOD | {"2.bias": torch.zeros(1).double()}, path), id="float64"),
        pytest.param(lambda path: torch.save(GOOD | {"2.bias": torch.tensor([float("nan")])}, path), id="NaN"),
        pytest.param(lambda path: torch.save(GOOD | {"2.bias": torch.zeros(1).to_sparse()}, path), id="sparse"),
        pytest.param(
            lambda path: torch.save(GOOD | {"0.weight": torch.zeros(1).expand(10**6, 10**6)}, path),
            id="a tensor of terabytes in a tiny file",
        ),
    ],
)
def test_a_file_that_is_not_the_networks_state_dict_is_refused_and_none_of_its_code_runs(
    content: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content(tmp_path / "net.pth")  # type: ignore[operator]
    with pytest.raises(DamagedCheckpoint, match=r"net\.pth"):
        torch_files.load(tmp_path / "net.pth", NetworkSpec(), 2, 2)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", [CARD_FILE, NETWORK_FILE, ARRAYS_FILE])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "empty"])
def test_damage_to_any_file_of_a_checkpoint_is_detected_and_named(name: str, damage: str, tmp_path: Path) -> None:
    spec = NetworkSpec()
    card_digest = torch_files.save(tmp_path / "one", arrays_of(build(spec, 2, 2, seed=0)), card_for(spec))
    path = tmp_path / "one" / name
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes({"cut": content[:-1], "flipped": content, "empty": b""}[damage])
    with pytest.raises(DamagedCheckpoint, match=name.replace(".", r"\.")):
        cards.read(tmp_path / "one", card_digest=card_digest)


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"{}",
        b'{"format": 3}',
        b'{"format": 2, "network": {"kind": "no"}}',
        b'{"format": 1, "network": {"kind": "no"}}',
        b"\xff",
    ],
)
def test_a_file_that_is_not_a_card_is_refused(text: bytes) -> None:
    with pytest.raises(DamagedCheckpoint, match="card"):
        Card.from_json(text)


@pytest.mark.parametrize(
    ("ending", "stop_reason"), [("finished", "completed"), ("stalled", "early_stopped"), ("diverged", "diverged")]
)
def test_a_card_of_release_0_1_is_read_under_the_present_names(ending: str, stop_reason: str) -> None:
    fields = json.loads(card_for(NetworkSpec()).to_json())
    assert (fields.pop("format"), fields.pop("stop_reason")) == (2, "completed")
    old = fields | {
        "format": 1,
        "ending": ending,
        "data": {"dataset": "flower", "n": 9, "classes": 2},
        "restarts": [{"seed": 3, "ending": ending, "epochs": 7, "metrics": None}],
    }
    card = Card.from_json(json.dumps(old).encode())
    assert card.stop_reason == stop_reason
    assert card.data == {"dataset": "flower", "n": 9, "n_classes": 2}
    assert card.restarts == ({"seed": 3, "stop_reason": stop_reason, "epochs_run": 7, "metrics": None},)
    assert Card.from_json(card.to_json()) == card
    given = json.dumps(old | {"data": {"points": 4, "features": 2}, "restarts": []}).encode()
    assert Card.from_json(given).data == {"n_points": 4, "n_features": 2}


def test_a_checkpoint_never_overwrites_another(tmp_path: Path) -> None:
    spec = NetworkSpec()
    first = torch_files.save(tmp_path / "one", arrays_of(build(spec, 2, 2, seed=0)), card_for(spec))
    with pytest.raises(FileExistsError):
        torch_files.save(tmp_path / "one", arrays_of(build(spec, 2, 2, seed=1)), card_for(spec))
    cards.read(tmp_path / "one", card_digest=first)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no-such-folder"):
        atomic.write_folder(tmp_path / "one", {"a": b"1", "no-such-folder/b": b"2"})
    with pytest.raises(TypeError):
        atomic.write_file(tmp_path / "file", "not bytes")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_atomically(tmp_path: Path) -> None:
    atomic.write_file(tmp_path / "deep" / "file", b"old")
    atomic.write_file(tmp_path / "deep" / "file", b"new")
    assert (tmp_path / "deep" / "file").read_bytes() == b"new"
    assert len(list((tmp_path / "deep").iterdir())) == 1


def test_the_remains_of_a_killed_writer_are_removed_once_they_are_old(tmp_path: Path) -> None:
    for name, age_s in ((".new-old", 2 * atomic.ABANDONED_S), (".new-young", 0.0), ("old", 2 * atomic.ABANDONED_S)):
        for path in (tmp_path / name, tmp_path / f"{name}-file"):
            path.mkdir() if path.name == name else path.write_bytes(b"half")
            os.utime(path, (time.time() - age_s, time.time() - age_s))
    atomic.remove_abandoned(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".new-young", ".new-young-file", "old", "old-file"}
    atomic.remove_abandoned(tmp_path / "no-such-folder")
