"""A program that uses the generated Python client, with its tools alone: `usage.py FOLDER ADDRESS`."""

import sys

sys.path.insert(0, sys.argv[1])

from separatrix_client import Client, models
from separatrix_client.api.boundary import get_boundary_grid
from separatrix_client.api.data_sets import get_dataset_points
from separatrix_client.api.models import get_version, list_models
from separatrix_client.api.predictions import predict
from separatrix_client.api.training import create_job, get_job, list_job_events

client = Client(base_url=sys.argv[2])

points = get_dataset_points.sync("moons", client=client, n=60)
assert isinstance(points, models.DatasetPoints)
assert len(points.points) == len(points.labels) == 60

data = models.GivenData(points=points.points, labels=points.labels)
request = models.TrainRequest(model="generated", data=data, training=models.TrainingSettings(epochs=200))
job = create_job.sync(client=client, body=request, prefer="wait=50")
assert isinstance(job, models.Job)
assert job.status == models.JobState.SUCCEEDED
assert isinstance(job.data, models.PointsDataInfo)
assert job.data.n_points == 60

job = get_job.sync(job.id, client=client)
assert isinstance(job, models.Job)
assert isinstance(job.metrics, models.Metrics)
assert job.metrics.training_accuracy > 0.5

page = list_job_events.sync(job.id, client=client)
assert isinstance(page, models.EventPage)
assert isinstance(page.data[0], models.StatusEvent)
assert isinstance(page.data[-1], models.DoneEvent)
assert page.data[-1].data.version == job.version == 1

answer = predict.sync(client=client, body=models.PredictRequest(model="generated", points=points.points[:2]))
assert isinstance(answer, models.Prediction)
assert len(answer.labels) == 2

grid = get_boundary_grid.sync(client=client, model="generated", resolution="8x4")
assert isinstance(grid, models.BoundaryGrid)
assert grid.shape == [4, 8]

version = get_version.sync("generated", 1, client=client)
assert isinstance(version, models.Version)
assert isinstance(version.card, models.Card)
assert version.card.recipe_digest == job.recipe_digest

names = list_models.sync(client=client)
assert isinstance(names, models.ModelList)
assert "generated" in [model.name for model in names.data]

refused = get_job.sync("nobody", client=client)
assert isinstance(refused, models.Problem)
assert refused.code == "job-not-found"
