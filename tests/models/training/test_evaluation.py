"""What a card says about a trained network, counted by a loop."""

import numpy as np
import pytest

from models.datasets import LabelledPoints
from models.networks.layouts import layout
from models.networks.plans import Plan, plan_of
from models.specs import NetworkSpec
from models.training.evaluation import Evaluation

CLASSES = ("a", "b", "c")


def three_classes() -> tuple[Plan, LabelledPoints]:
    """A linear network of three classes, and points that it confuses."""
    rng = np.random.default_rng(0)
    state = {"w": rng.normal(size=(2, 3)).astype(np.float32), "b": np.zeros(3, np.float32)}
    plan = plan_of(layout(NetworkSpec(kind="logistic"), 2, 3), state)
    return plan, LabelledPoints(rng.normal(size=(200, 2)).astype(np.float32), rng.integers(0, 3, 200), CLASSES)


def test_the_counts_and_shares_are_those_of_a_loop() -> None:
    plan, points = three_classes()
    layer = plan.layers[0]
    predicted = [int(np.argmax(layer.weight_OI @ x + layer.bias_O1[:, 0])) for x in points.xy_ND]
    shown = Evaluation.of(plan, points).to_json()
    for true in range(3):
        for label in range(3):
            both = zip(points.label_N, predicted, strict=True)
            assert shown["confusion"][true][label] == sum(one == (true, label) for one in both)
    for k in range(3):
        right = sum(true == k == label for true, label in zip(points.label_N, predicted, strict=True))
        assert shown["recall"][k] == right / (points.label_N == k).sum()
        assert shown["precision"][k] == right / predicted.count(k)


def evaluation(*rows: list[int]) -> Evaluation:
    return Evaluation(np.array(rows), log_loss=0.5)


def test_a_share_of_no_points_is_none() -> None:
    shown = evaluation([3, 0], [0, 0]).to_json()
    assert (shown["recall"], shown["precision"]) == ([1.0, None], [1.0, None])


@pytest.mark.parametrize("rows", [([7, 0], [5, 0]), ([0, 7], [0, 5]), ([4, 3], [2, 3])])
def test_a_network_that_is_no_better_than_the_most_common_label_gives_a_warning(
    rows: tuple[list[int], list[int]],
) -> None:
    (warning,) = evaluation(*rows).warnings(("no", "yes"), "training")
    assert "no better than by always answering 'no' (58%)" in warning


def test_a_class_that_is_mostly_missed_gives_a_warning_although_most_points_are_right() -> None:
    (warning,) = evaluation([285, 0], [10, 5]).warnings(("usual", "rare"), "validation")
    assert warning == "Only 5 of 15 validation points of the class 'rare' get that label."
    assert evaluation([280, 5], [3, 12]).warnings(("usual", "rare"), "validation") == []
    (one,) = evaluation([285, 0], [9, 1]).warnings(("usual", "rare"), "training")
    assert one == "Only 1 of 10 training points of the class 'rare' gets that label."
    (none,) = evaluation([285, 0, 0], [0, 0, 9], [0, 0, 5]).warnings(("usual", "rare", "odd"), "training")
    assert none == "None of 9 training points of the class 'rare' gets that label."
