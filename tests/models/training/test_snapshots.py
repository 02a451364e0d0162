import pytest

from models.limits import MAX_SNAPSHOT_BYTES
from models.specs import InvalidInput, TrainingSpec
from models.training.snapshots import snapshot_epochs


@pytest.mark.parametrize(
    ("asked", "last", "expected"),
    [
        (1, 50, [50]),
        (2, 50, [0, 50]),
        (4, 100, [0, 1, 10, 100]),
        (200, 5, [0, 1, 2, 3, 4, 5]),
        ([7, 3, 7, 0], 10, [0, 3, 7]),
    ],
)
def test_epochs_are_ascending_and_spaced_in_equal_ratios(
    asked: int | list[int], last: int, expected: list[int]
) -> None:
    assert snapshot_epochs(asked, TrainingSpec(epochs=last), weights=10) == expected


def test_the_weights_of_a_large_network_are_kept_at_fewer_epochs() -> None:
    weights = MAX_SNAPSHOT_BYTES // 4 // 3
    assert len(snapshot_epochs([1, 2, 3], TrainingSpec(), weights=weights)) == 3
    with pytest.raises(InvalidInput, match="must be 3 or fewer"):
        snapshot_epochs([1, 2, 3, 4], TrainingSpec(), weights=weights)
