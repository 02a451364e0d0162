"""`POST /models/{name}/corrections`: points that a version gets wrong, or that are new, become training data."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BeforeValidator, FailFast, Field

from models.limits import MAX_POINTS, MAX_REPEAT
from service.api.deps import ModelPath, Services, ServicesDep
from service.api.jobs import responses
from service.api.jobs.requests import Label, Metadata, TrainingSettings, plain_labels
from service.api.jobs.submission import SubmissionDep
from service.api.jobs.views import Job
from service.api.points import Points
from service.api.references import AliasName, reference
from service.http.bodies import request_body
from service.http.schema import WHOLE, Body
from service.jobs.corrections import corrections_job
from service.jobs.queue import NewJob

router = APIRouter(tags=["training"])


class CorrectionsRequest(Body):
    """Points with their right labels, and how to train on them."""

    points: Points = Field(
        description="N points, by position or by the names of the features. One that is equal to training points "
        "replaces them; any other is added.",
        examples=[[[0.5, -0.25], [2.0, 1.0]]],
    )
    labels: Annotated[
        list[Label],
        FailFast(),
        Field(
            min_length=1,
            max_length=MAX_POINTS,
            description="The right class of each point, among the classes of the version.",
            examples=[["red", "blue"]],
        ),
        BeforeValidator(plain_labels),
    ]
    version: Annotated[int, Field(ge=1, le=2**31 - 1), WHOLE] | None = Field(
        None, description="The version to correct. By default the version that `latest` names."
    )
    alias: AliasName = None
    repeat: Annotated[int, Field(ge=1, le=MAX_REPEAT), WHOLE] = Field(
        1,
        description="How often each corrected point is in the training data, so that a few points have enough weight.",
    )
    training: TrainingSettings = Field(
        TrainingSettings(), description="Settings of the training. By default the settings of the version."
    )
    metadata: Metadata = Field({})


@router.post(
    "/models/{name}/corrections",
    status_code=202,
    response_model=Job,
    responses=responses.SUBMISSION,
    operation_id="createCorrections",
    openapi_extra=request_body.documented(CorrectionsRequest),
)
async def create_corrections(
    name: ModelPath, request: Request, services: ServicesDep, submission: SubmissionDep
) -> Job | Response:
    """Submits a training on corrections. It starts from the weights and on the training data of a version.

    The result is the next version of the model. The job compares it with the corrected version.
    """
    headers = request_body.headers_of(request.scope)
    body = await request_body.read(headers, request.receive, CorrectionsRequest, services.bodies)
    return await submission.respond(lambda: _new_job(name, body, services))


def _new_job(model: str, body: CorrectionsRequest, services: Services) -> NewJob:
    services.registry.refresh()
    version = services.registry.resolve(model, reference(body.version, body.alias))
    card = version.card
    return corrections_job(
        version,
        services.files,
        body.points.sent().placed(card.features, card.feature_names, card.categories),
        body.labels,
        repeat=body.repeat,
        training=body.training.model_dump(exclude_unset=True, exclude_none=True),
        metadata=body.metadata,
    )
