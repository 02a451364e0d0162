"""`separatrix compare`: its figures are those of the HTTP API on the same data folder."""

import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.render import comparison_png
from tests.service.commands.test_cli import separatrix, texts_of
from tests.serving import running, train


@pytest.fixture(scope="module")
def turns(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A data folder with two versions of `turn`, and what the service says of their comparison."""
    folder = tmp_path_factory.mktemp("turns")
    with running(folder) as client:
        train(client, "turn", training={"epochs": 100})
        train(client, "turn", training={"epochs": 400, "seed": 3})
        train(client, "three", data={"dataset": "gaussians", "n_classes": 3}, training={"epochs": 5})
        return folder, {
            "window": compared(client, resolution="50"),
            "points": compared(client, dataset="flower", limit="1000"),
        }


def compared(client: httpx.Client, **query: str) -> dict[str, Any]:
    body: dict[str, Any] = client.get("/comparison", params={"a": "turn:1", "b": "turn"} | query).json()
    return body


@pytest.mark.slow
def test_compare_prints_the_figures_of_the_service_and_draws_them(
    turns: tuple[Path, dict[str, dict[str, Any]]], tmp_path: Path
) -> None:
    folder, said = turns
    out = tmp_path / "turn.svg"
    done = separatrix("compare", "turn:1", "turn", str(out), "--resolution", "50", "--dataset", "flower", data=folder)
    assert done.exit_code == 0, done.stderr
    window, points = said["window"], said["points"]
    assert f"{window['differing']:,} of 2,500 cells differ ({window['disagreement']:.2%})" in done.stdout
    assert f"{points['differing']:,} of 400 points differ ({points['disagreement']:.2%})" in done.stdout
    for one in (*window["differences"], *points["differences"]):
        assert f"{one['count']:,} from {one['a']} to {one['b']}" in done.stdout
    accuracies = [points[side]["evaluation"]["accuracy"] for side in "ab"]
    assert f"accuracy on flower: {accuracies[0]:.4g} and {accuracies[1]:.4g}" in done.stdout
    assert "a: turn version 1\nb: turn version 2\n" in done.stdout
    texts = texts_of(out)
    assert {"both red", "both blue", "a red, b blue", "boundary of a", "boundary of b", "x1", "x2"} <= set(texts)
    assert any("turn version 1 and turn version 2" in text for text in texts)


@pytest.mark.slow
def test_the_figure_has_the_colors_of_the_regions(
    turns: tuple[Path, dict[str, dict[str, Any]]], tmp_path: Path
) -> None:
    out = tmp_path / "turn.png"
    assert separatrix("compare", "turn:1", "turn:2", str(out), data=turns[0]).exit_code == 0
    with Image.open(out) as image:
        drawn = {tuple(rgb) for rgb in np.asarray(image.convert("RGB")).reshape(-1, 3).tolist()}
    for a in (0, 1):
        for b in (0, 1):
            assert tuple(comparison_png.color_of(2, a, b).tolist()) in drawn


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["turn", "three", "out.png"], "b: must have the classes of a, but only a has 'red', 'blue'"),
        (["turn", "turn:7", "out.png"], "Version not found"),
        (["turn", "turn:x", "out.png"], "Alias not found"),
        (["turn", "nobody", "out.png"], "Model not found"),
        (["turn", "turn", "out.txt"], "out: must end in one of .png"),
        (["turn", "turn", "out.png", "--axes", "0"], "axes: must be two features"),
        (["turn", "turn", "out.png", "--dataset", "none"], "Dataset not found"),
        (["turn", "turn", "out.png", "--resolution", "1"], "resolution: must be"),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    turns: tuple[Path, dict[str, dict[str, Any]]], tmp_path: Path, arguments: list[str], said: str
) -> None:
    a, b, out, *options = arguments
    done = separatrix("compare", a, b, str(tmp_path / out), *options, data=turns[0])
    assert done.exit_code in (1, 2)
    (line,) = done.stderr.strip().splitlines()
    assert re.search(re.escape(said), line), line
    assert not (tmp_path / out).exists()
