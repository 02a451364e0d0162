"""Comparisons on points, against a loop over each single point."""

import math

import numpy as np
import pytest

from models.datasets import DatasetSpec, LabelledPoints, generate
from models.inference import numpy_forward
from models.specs import InvalidInput
from service.inference.comparison import over_points
from service.inference.pairs import Pair
from tests.service.versions import version_of

POINTS = generate(DatasetSpec(dataset="gaussians", n_classes=3, n=101, noise=1.5))
PAIR = Pair.of(version_of(classes=(0, 1, 2)), version_of((3, 3), classes=(2, 0, 1), seed=4))


def part(points: LabelledPoints, rows: slice) -> LabelledPoints:
    return LabelledPoints(points.xy_ND[rows], points.label_N[rows], points.classes)


def test_each_point_counts_as_if_it_were_alone() -> None:
    found = over_points(PAIR, [POINTS], count=101, max_flips=1000, field="dataset")
    agreement, confusions, losses = np.zeros((3, 3)), np.zeros((2, 3, 3)), [0.0, 0.0]
    flips = []
    for i, (x_2, k) in enumerate(zip(POINTS.xy_ND, POINTS.label_N, strict=True)):
        labels = []
        for side, version in enumerate((PAIR.a, PAIR.b)):
            prob_K = numpy_forward.probabilities(numpy_forward.logits(version.plan, x_2[None]))[0]
            by_label = dict(zip(version.card.classes, prob_K.tolist(), strict=True))
            labels.append(max(by_label, key=lambda label: by_label[label]))  # called at once
            confusions[side][int(k), labels[-1]] += 1
            losses[side] -= math.log(by_label[int(k)]) / 101
        agreement[labels[0], labels[1]] += 1
        if labels[0] != labels[1]:
            flips.append((i, *labels, int(k)))
    assert found.agreement.confusion_KK.tolist() == agreement.tolist()
    assert found.evaluation_a.confusion_KK.tolist() == confusions[0].tolist()
    assert found.evaluation_b.confusion_KK.tolist() == confusions[1].tolist()
    assert [found.evaluation_a.log_loss, found.evaluation_b.log_loss] == pytest.approx(losses, rel=1e-5)
    of = found.flips
    assert [*zip(of.index_F, of.label_a_F, of.label_b_F, of.label_F, strict=True)] == flips
    assert (of.xy_FD == POINTS.xy_ND[of.index_F]).all()
    assert len(flips) > 20


@pytest.mark.parametrize("most", [0, 7, 30, 1000])
@pytest.mark.parametrize("size", [1, 10, 50])
def test_points_in_parts_give_the_same_as_all_at_once(size: int, most: int) -> None:
    parts = [part(POINTS, slice(first, first + size)) for first in range(0, 101, size)]
    whole, summed = (
        over_points(PAIR, some, count=101, max_flips=most, field="dataset") for some in ([POINTS], iter(parts))
    )
    assert (whole.agreement.confusion_KK == summed.agreement.confusion_KK).all()
    for one, other in ((whole.evaluation_a, summed.evaluation_a), (whole.evaluation_b, summed.evaluation_b)):
        assert (one.confusion_KK == other.confusion_KK).all()
        assert one.log_loss == pytest.approx(other.log_loss)
    for name, array in vars(whole.flips).items():
        np.testing.assert_array_equal(array, getattr(summed.flips, name))
    assert len(whole.flips.index_F) == min(most, whole.agreement.differing)


def test_too_many_points_for_the_networks_are_refused_before_any_is_read() -> None:
    def unread() -> None:
        raise AssertionError

    wide = version_of((1024, 1024), classes=(0, 1, 2))
    with pytest.raises(InvalidInput, match="dataset: must have fewer points"):
        over_points(Pair.of(wide, wide), iter(unread, None), count=100_000, max_flips=1, field="dataset")


def test_points_for_which_a_network_overflows_are_refused() -> None:
    far = LabelledPoints(np.full((2, 2), 1e30, np.float32), np.array([0, 1]), (0, 1, 2))
    steep = version_of((), classes=(0, 1, 2))
    steep.plan.parameters[:] *= np.float32(1e30)
    with pytest.raises(InvalidInput, match="dataset: must have smaller numbers"):
        over_points(Pair.of(steep, steep), [far], count=2, max_flips=1, field="dataset")
