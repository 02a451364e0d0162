"""Running trainings as networks that answer: what a job is, and the weights that its worker left last."""

from dataclasses import dataclass, replace
from typing import Self

import safetensors.numpy

from models.checkpoints import cards
from models.checkpoints.cards import Card
from models.networks.layouts import Layout
from models.networks.plans import plan_of
from models.recipes import Recipe
from service.jobs import training_data, warm_start
from service.records import Job, Snapshot
from service.registry.networks import JobNetwork
from service.store.files import Files


@dataclass(frozen=True, eq=False)
class RunningTraining:
    """What the networks of a running training have in common.

    Attributes:
        job_id: the job.
        model: the model whose next version it trains; None if it publishes none.
        layout: of the network.
        card: what is known before the training ends.
    """

    job_id: str
    model: str | None
    layout: Layout
    card: Card

    @classmethod
    def of(cls, job: Job, files: Files) -> Self:
        """The training of a job whose settings are chosen. Reads its points.

        Raises:
            DamagedData, OSError: its points, or the weights that it starts from, cannot be read.
        """
        assert job.settings is not None
        spec = job.spec
        points = training_data.load(files, job.id, spec.data, spec.data_digest)
        validation = training_data.load_validation(files, job.id, spec.data, points)
        recipe = Recipe(points, *job.settings, validation, warm_start.load(files, job.id, spec.started_from))
        card = cards.of_recipe(recipe, spec.data, spec.data_digest)
        return cls(job.id, job.model or None, recipe.layout, replace(card, started_from=spec.started_from))

    def network(self, snapshot: Snapshot) -> JobNetwork:
        """The network as it was when the worker left a snapshot.

        Raises:
            InvalidInput: a weight is not finite.
        """
        plan = plan_of(self.layout, safetensors.numpy.load(snapshot.weights), self.card.transform)
        return JobNetwork(self.job_id, self.model, replace(self.card, epochs=snapshot.epoch), plan, snapshot.epoch)
