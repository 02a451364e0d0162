"""The field and parameter `epoch`: a version as it was during its training."""

from typing import Annotated

from pydantic import Field

from models.limits import MAX_EPOCHS

Epoch = Annotated[
    int | None,
    Field(
        ge=0,
        le=MAX_EPOCHS,
        description="Answers as the version was after this epoch of its training, which is repeated up to there; 0 is "
        "before the first. At most its `epochs_run`. By default the published weights.",
    ),
]
