"""The training range, compared with a naive loop over all distances."""

import numpy as np
import pytest

from models import training_range
from models.datasets import LabelledPoints, generate
from models.specs import DatasetSpec
from models.training_range import TrainingRange

_rng = np.random.default_rng(2)


def labelled(xy_ND: np.ndarray) -> LabelledPoints:
    return LabelledPoints(np.asarray(xy_ND, np.float64), np.arange(len(xy_ND)) % 2, (0, 1))


def naive(xy_ND: np.ndarray, query_ND: np.ndarray) -> np.ndarray:
    """By the definition, with every distance: only for small data without equal points."""
    mean_D, deviation_D = xy_ND.mean(axis=0), xy_ND.std(axis=0)
    deviation_D[deviation_D == 0] = 1
    scaled_ND, asked_ND = (xy_ND - mean_D) / deviation_D, (query_ND - mean_D) / deviation_D
    nearest = []
    for i, one in enumerate(scaled_ND):
        nearest.append(min(np.linalg.norm(one - other) for j, other in enumerate(scaled_ND) if j != i))
    radius = sorted(nearest)[int(np.ceil(0.99 * (len(nearest) - 1)))]
    return np.array([min(np.linalg.norm(one - other) for other in scaled_ND) > radius for one in asked_ND])


@pytest.mark.slow
@pytest.mark.parametrize("features", [1, 2, 5])
def test_points_are_marked_as_the_definition_says(features: int) -> None:
    units_D = 10.0 ** np.arange(-3, 2 * features - 3, 2)
    xy_ND = (_rng.normal(size=(150, features)) + 7) * units_D
    query_ND = (_rng.normal(0, 2, size=(300, features)) + 7) * units_D
    outside_N = TrainingRange.of(labelled(xy_ND)).outside(query_ND)
    np.testing.assert_array_equal(outside_N, naive(xy_ND, query_ND))
    assert 0 < outside_N.sum() < 300


def test_the_middle_of_a_ring_is_outside_although_it_is_in_the_box_of_the_data() -> None:
    angle_N = _rng.uniform(0, 2 * np.pi, 300)
    ring_N2 = np.column_stack([np.cos(angle_N), np.sin(angle_N)])
    known = TrainingRange.of(labelled(ring_N2))
    assert known.outside(np.array([[0.0, 0.0], [2.0, 0.0]])).all()
    assert not known.outside(ring_N2).any()


@pytest.mark.slow
@pytest.mark.parametrize("features", [2, 10, 40])
def test_about_one_in_a_hundred_points_like_the_training_points_is_marked(features: int) -> None:
    known = TrainingRange.of(labelled(_rng.normal(size=(3_000, features))))
    share = known.outside(_rng.normal(size=(5_000, features))).mean()
    assert 0.002 < share < 0.03


@pytest.mark.slow
def test_a_sample_of_many_points_or_features_is_bounded() -> None:
    many = labelled(_rng.normal(size=(20_000, 3)))
    known = TrainingRange.of(many)
    assert len(known.sample_SD) == training_range.MAX_SAMPLE
    assert 0.002 < known.outside(many.xy_ND).mean() < 0.02
    wide = TrainingRange.of(labelled(_rng.normal(size=(600, 1_000))))
    assert wide.work <= training_range.MAX_SAMPLE_VALUES
    assert wide.outside(100 * _rng.normal(size=(5, 1_000))).all()


def test_equal_points_count_once_and_a_single_point_is_its_own_range() -> None:
    flower = generate(DatasetSpec()).xy_ND
    once, often = (TrainingRange.of(labelled(np.tile(flower, (times, 1)))) for times in (1, 3))
    query_N2 = _rng.normal(0, 4, (200, 2))
    np.testing.assert_array_equal(once.outside(query_N2), often.outside(query_N2))
    single = TrainingRange.of(labelled(np.ones((4, 2))))
    np.testing.assert_array_equal(single.outside(np.array([[1.0, 1.0], [1.0, 1.001]])), [False, True])


def test_huge_numbers_are_outside_and_a_constant_feature_counts_in_data_units() -> None:
    xy_ND = np.column_stack([_rng.normal(size=100), np.full(100, 5.0)])
    known = TrainingRange.of(labelled(xy_ND))
    found = known.outside(np.array([[0.0, 5.0], [0.0, 15.0], [1e30, 5.0], [-1e30, 1e30]]))
    np.testing.assert_array_equal(found, [False, True, True, True])
    tiny = TrainingRange.of(labelled(1e-25 * _rng.normal(size=(50, 2))))
    assert tiny.outside(np.array([[1e30, 1e30], [1.0, 0.0]])).all()


def test_the_range_is_the_same_after_it_was_stored() -> None:
    known = TrainingRange.of(generate(DatasetSpec()))
    again = TrainingRange.from_arrays(known.to_arrays())
    query_N2 = _rng.normal(0, 4, (500, 2))
    np.testing.assert_array_equal(again.outside(query_N2), known.outside(query_N2))
