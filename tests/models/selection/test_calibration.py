"""Calibration of probabilities by a temperature."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.inference import numpy_forward
from models.selection import calibration

LABELS = np.array([0, 1, 1, 2, 0, 2, 1, 0, 0, 2] * 20)


def logits(outputs: int, *, scale: float = 1.0) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Logits that are right more often than not."""
    rng = np.random.default_rng(0)
    logit_NO = rng.normal(size=(len(LABELS), outputs))
    if outputs == 1:
        logit_NO[:, 0] += 2.0 * (LABELS > 0) - 1
    else:
        logit_NO[np.arange(len(LABELS)), LABELS] += 1.5
    return (scale * logit_NO).astype(np.float32)


def test_the_log_loss_of_many_classes_is_that_of_torch() -> None:
    expected = functional.cross_entropy(torch.from_numpy(logits(3)).double(), torch.from_numpy(LABELS))
    assert numpy_forward.log_loss(logits(3), LABELS) == pytest.approx(expected.item())


def test_the_log_loss_of_two_classes_is_that_of_torch() -> None:
    label_N = (LABELS > 0).astype(np.int64)
    expected = functional.binary_cross_entropy_with_logits(
        torch.from_numpy(logits(1)[:, 0]).double(), torch.from_numpy(label_N).double()
    )
    assert numpy_forward.log_loss(logits(1), label_N) == pytest.approx(expected.item())


def test_a_wrong_and_certain_answer_has_a_large_but_finite_log_loss() -> None:
    assert numpy_forward.log_loss(np.array([[-1e4]], np.float32), np.array([1])) == pytest.approx(1e4)


@pytest.mark.parametrize("scale", [0.2, 1.0, 9.0])
def test_the_temperature_has_the_least_loss_of_many(scale: float) -> None:
    logit_NO = logits(3, scale=scale)
    chosen = calibration.temperature(logit_NO, LABELS)
    tried = np.geomspace(0.05, 40, 400)
    best = min(tried, key=lambda one: calibration.losses(logit_NO / one, LABELS).mean())
    assert chosen == pytest.approx(best, rel=0.03)


def test_the_losses_are_those_of_torch_with_smoothed_labels() -> None:
    smoothing = 3 / (len(LABELS) + 3)
    expected = functional.cross_entropy(
        torch.from_numpy(logits(3)).double(), torch.from_numpy(LABELS), label_smoothing=smoothing, reduction="none"
    )
    np.testing.assert_allclose(calibration.losses(logits(3), LABELS), expected.numpy())


@pytest.mark.parametrize("count", [10, 1_000])
def test_points_that_are_all_classified_correctly_give_no_certainty(count: int) -> None:
    label_N = np.arange(count) % 2
    logit_N1 = np.where(label_N == 1, 5.0, -5.0)[:, None].astype(np.float32)
    certainty = 1 / (1 + np.exp(-5 / calibration.temperature(logit_N1, label_N)))
    assert certainty == pytest.approx((count + 1) / (count + 2), rel=1e-3)
