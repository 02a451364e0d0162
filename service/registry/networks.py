"""Networks in memory that answer requests: of published versions, and of jobs that have published none."""

from dataclasses import dataclass
from typing import Any

from models.checkpoints.cards import Card
from models.exports.exported import Exported
from models.networks.plans import AnyPlan
from service.registry.loading import CARD_BYTES, LoadedVersion


@dataclass(frozen=True, eq=False)
class JobNetwork:
    """The network of a job that has published no version, or none yet. It answers like the network of a version.

    Attributes:
        job_id: the job.
        model: the model whose next version the job trains; None if it publishes none.
        card: what is known of the network and its training, with `epochs` as the last one that it has reached.
        plan: the weights.
        epoch: the epoch of the weights.
        checkpoint_id: the name of its checkpoint, once its training has ended.
    """

    job_id: str
    model: str | None
    card: Card
    plan: AnyPlan
    epoch: int
    checkpoint_id: str | None = None

    @property
    def name(self) -> str:
        """The name of the network in messages for people."""
        return f"job {self.job_id}"

    @property
    def key(self) -> str:
        """Identifies the training of the network; for a version, the name of its checkpoint."""
        return self.checkpoint_id or f"job:{self.job_id}"

    @property
    def validator(self) -> str | None:
        """Identifies the network in the entity tags of responses; None during training, when the weights change."""
        return self.checkpoint_id

    @property
    def answered_by(self) -> dict[str, Any]:
        """The job and the epoch of its weights, as response bodies name them: a job is not a version."""
        return {"model": self.model, "version": None, "job_id": self.job_id, "epoch": self.epoch}

    @property
    def exported(self) -> Exported:
        """The network as `models.exports` takes it: under the name of its job if it has no model."""
        return Exported(self.model or self.job_id, 0, self.card, self.plan)

    @property
    def size_bytes(self) -> int:
        """The approximate size of the network in memory."""
        return CARD_BYTES + 4 * self.plan.size


LoadedNetwork = LoadedVersion | JobNetwork
"""What answers a prediction or a grid."""
