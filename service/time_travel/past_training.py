"""The data and settings that repeat the training of a published version."""

import math
from dataclasses import dataclass, replace
from typing import Any, cast

from models.checkpoints.cards import Card
from models.limits import MAX_REPLAY_S
from models.networks.layouts import layout
from models.specs import Implementation, InvalidInput, NetworkSpec, TrainingSpec
from models.training import cost_model
from service.registry.networks import JobNetwork, LoadedNetwork


@dataclass(frozen=True, kw_only=True)
class PastTraining:
    """The training of a version.

    Attributes:
        job_id: names the files of its points.
        training: the settings, with the implementation that was used.
        data, data_digest: of the points, as in a card.
        start: the weights that it began with, as `service.jobs.warm_start` loads them; None if they were random.
        members: of each network that was published, in order: the number of its restart, and its last epoch.
        epoch_s: the time of an epoch of all members, in seconds of one core, by an estimate.
    """

    job_id: str
    network: NetworkSpec
    training: TrainingSpec
    data: dict[str, Any]
    data_digest: str
    start: dict[str, Any] | None
    members: tuple[tuple[int, int], ...]
    epoch_s: float

    @classmethod
    def of(cls, network: LoadedNetwork) -> "PastTraining":
        """The training of a network, up to where it is.

        Raises:
            InvalidInput: the network is a version that was not trained here, or one of several in training.
        """
        is_training = isinstance(network, JobNetwork) and network.checkpoint_id is None
        if is_training and network.card.training and network.card.training.networks > 1:
            raise InvalidInput("epoch", "must be left out: the job trains several networks and has not ended")
        card, job_id = network.card, network.job_id
        spec, data, digest, epochs = card.training, card.data, card.data_digest, card.epochs
        if job_id is None or spec is None or data is None or digest is None or epochs is None:
            raise InvalidInput("epoch", "must be left out: the version was imported, and its training is unknown")
        return cls(
            job_id=job_id,
            network=card.network,
            training=spec if spec.optimizer == "lbfgs" else replace(spec, implementation=_implementation(card)),
            data=data,
            data_digest=digest,
            start=card.started_from and {**card.started_from, "offset": card.offset, "divisor": card.divisor},
            members=_members(card, epochs),
            epoch_s=card.networks * _epoch_s(card, spec, data),
        )

    @property
    def epochs(self) -> int:
        """The last epoch that ran, after which the weights were published."""
        return max(epochs for _, epochs in self.members)

    def require_epoch(self, epoch: int) -> None:
        """Checks that the training had an epoch.

        Raises:
            InvalidInput: it ended before.
        """
        if epoch > self.epochs:
            raise InvalidInput("epoch", f"must be at most {self.epochs:,}, the last epoch of this training")

    def require_affordable(self, epoch: int) -> None:
        """Checks by an estimate that the training can be repeated up to an epoch in `MAX_REPLAY_S`.

        Raises:
            InvalidInput: it takes longer.
        """
        most = int(MAX_REPLAY_S / self.epoch_s)
        if epoch > most:
            raise InvalidInput(
                "epoch",
                f"must be at most {most:,} for this version, or exactly {self.epochs:,}, its last epoch: repeating the "
                "training up to any other epoch would take too long",
            )


def _implementation(card: Card) -> Implementation:
    return cast(Implementation, card.implementation)


def _members(card: Card, epochs: int) -> tuple[tuple[int, int], ...]:
    if card.networks == 1:
        return ((_winner(card), epochs),)
    return tuple((restart, one["epochs_run"]) for restart, one in enumerate(card.restarts))


def _winner(card: Card) -> int:
    """The number of the restart that was published: see `models.training.restarts.Best.rank`."""

    def rank(restart: int) -> tuple[bool, float, int]:
        one = card.restarts[restart]
        metrics = one["metrics"] or {}
        loss = metrics.get("validation_loss")
        loss = metrics.get("training_loss", math.inf) if loss is None else loss
        return one["stop_reason"] == "diverged", loss, restart

    return min(range(len(card.restarts)), key=rank, default=0)


def _epoch_s(card: Card, spec: TrainingSpec, data: dict[str, Any]) -> float:
    count = data["n"] if card.is_generated else data["n_points"]
    own = data.get("validation")
    held_out = own["n_points"] if own else round(count * spec.validation_fraction)
    network = layout(card.network, card.features, len(card.classes))
    return cost_model.epoch_s(network, count, held_out, spec, _implementation(card))
