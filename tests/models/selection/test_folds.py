"""Folds: each point is held out once, and the classes are divided evenly."""

import numpy as np
import pytest

from models.datasets import LabelledPoints
from models.selection.folds import fold_count, folds
from models.specs import InvalidInput


def points(*counts: int) -> LabelledPoints:
    """Points of classes of these sizes, whose only coordinate is their number."""
    number_N = np.arange(sum(counts), dtype=np.float32)
    label_N = np.repeat(np.arange(len(counts)), counts)
    return LabelledPoints(number_N[:, None], label_N, tuple(range(len(counts))))


def numbers(part: LabelledPoints) -> list[int]:
    return part.xy_ND[:, 0].astype(int).tolist()


def test_each_point_is_held_out_once() -> None:
    held_out = [numbers(part) for _, part in folds(points(13, 7), 5, seed=0)]
    assert sorted(number for part in held_out for number in part) == list(range(20))


def test_a_fold_trains_on_all_points_that_it_does_not_hold_out() -> None:
    for kept, held_out in folds(points(13, 7), 5, seed=0):
        assert sorted(numbers(kept) + numbers(held_out)) == list(range(20))


def test_classes_are_divided_evenly() -> None:
    for _, held_out in folds(points(50, 25), 5, seed=3):
        assert np.bincount(held_out.label_N).tolist() == [10, 5]


def test_the_only_point_of_a_class_is_never_held_out() -> None:
    for kept, _ in folds(points(1, 9), 5, seed=0):
        assert 0 in numbers(kept)


def test_folds_without_points_are_left_out() -> None:
    assert len(folds(points(2, 1), 5, seed=0)) == 2


def test_a_single_fold_holds_out_a_fifth() -> None:
    [(kept, held_out)] = folds(points(40, 60), 1, seed=0)
    assert (len(kept.label_N), np.bincount(held_out.label_N).tolist()) == (80, [8, 12])


def test_seeds_decide_the_folds() -> None:
    first, again, other = (folds(points(30, 30), 3, seed=seed)[0][1] for seed in (1, 1, 2))
    assert numbers(first) == numbers(again) != numbers(other)


def test_points_of_single_member_classes_cannot_be_divided() -> None:
    with pytest.raises(InvalidInput):
        folds(points(1, 1, 1), 1, seed=0)


def test_more_points_need_fewer_folds() -> None:
    assert [fold_count(count) for count in (4, 2_000, 2_001, 10_001, 100_000)] == [5, 5, 3, 1, 1]
