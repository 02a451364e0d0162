"""A trained network as it was after an epoch: its recipe is trained again up to there, which gives the same bits."""

from collections.abc import Callable

from torch import nn

from models.datasets import FloatArray
from models.limits import MAX_SEED
from models.networks.modules import Builder, load_arrays
from models.recipes import Recipe
from models.training import train


def new_networks(recipe: Recipe) -> Callable[[int], nn.Module]:
    """What builds the network of a seed: a new one, or with a warm start one that has the starting weights."""
    builder = Builder(recipe.network, recipe.points.features, len(recipe.points.classes))
    states = recipe.initial_states
    if not states:
        return builder

    def build_from_start(seed: int) -> nn.Module:
        network = builder(seed)
        load_arrays(network, states[(seed - recipe.training.seed) % (MAX_SEED + 1)])
        return network

    return build_from_start


def weights_after(recipe: Recipe, *, restart: int, epoch: int) -> dict[str, FloatArray]:
    """The state dict that a training has after an epoch, in data units, as for its finished network.

    On one machine and with the same software it equals the state dict of the training bit for bit, if
    `recipe.training.implementation` is the one that trained it. For `epoch` and the errors see
    `models.training.train.weights_after`.
    """
    state = train.weights_after(
        new_networks(recipe),
        recipe.scaling.inputs(recipe.points),
        recipe.training,
        validation=recipe.scaling.inputs(recipe.validation) if recipe.validation else None,
        restart=restart,
        epoch=epoch,
    )
    return recipe.scaling.in_data_units(recipe.layout, state)
