"""An example of each response, for the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from service.api.datasets.schemas import (
    DatasetList,
    DatasetPoints,
    GeneratedDataset,
    StoredDataset,
    StoredDatasetSummary,
)
from service.api.inference_protocol.schemas import (
    InferResponse,
    ModelConfig,
    ModelMetadata,
    ModelReady,
    ModelStatisticsList,
    NothingMore,
    ProtocolError,
    RepositoryIndex,
    ServerHealth,
    ServerMetadata,
)
from service.api.invocations import Predictions
from service.api.jobs.event_schemas import EventPage, StreamEvent
from service.api.jobs.views import Job, JobList, Validation
from service.api.models.aliases import Alias, AliasList
from service.api.models.comparison_schemas import Comparison
from service.api.models.layers import Layer, Layers
from service.api.models.network_document import EnsembleDocument, NetworkDocument
from service.api.models.schemas import Model, ModelList, Version, VersionList, VersionSummary
from service.api.predictions.responses import Prediction
from service.api.system import Live, Ready
from service.api.trainings.history import History
from service.api.trainings.points import TrainingPointsPage
from service.http.problems import Problem

_METRICS = {
    "training_loss": 0.0735,
    "training_accuracy": 0.9675,
    "validation_loss": None,
    "validation_accuracy": None,
}

_PATH = "/models/my-flower/versions/2"
_SUMMARY = {
    "object": "model.version",
    "model": "my-flower",
    "version": 2,
    "status": "served",
    "created_at": "2026-03-01T12:00:00Z",
    "metrics": _METRICS,
    "aliases": ["latest"],
    "promotion": None,
    "links": {"self": _PATH},
}
_LAYER = {
    "index": 0,
    "name": "0",
    "type": "Linear",
    "text": "Linear(in_features=2, out_features=1, bias=True)",
    "n_outputs": 1,
    "activation": None,
    "weight": {"key": "0.weight", "shape": [1, 2], "min": -0.5, "max": 1.25, "values": [[1.25, -0.5]]},
    "bias": {"key": "0.bias", "shape": [1], "min": 0.75, "max": 0.75, "values": [0.75]},
}
_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_DATA = {
    "type": "generated",
    "dataset": "flower",
    "n": 400,
    "noise": 0.2,
    "seed": 1,
    "n_classes": 2,
    "validation": None,
}
_ARCHITECTURE = {"kind": "sequential", "hidden": [4], "activation": "tanh", "scale": "none", "inputs": None}
_NETWORK = _ARCHITECTURE | {"feature_weights": None}
_DESCRIPTION = {
    "format": "separatrix-network",
    "format_version": 1,
    "model": "my-flower",
    "version": 2,
    "network": _ARCHITECTURE,
    "n_features": 2,
    "feature_names": None,
    "categories": None,
    "classes": ["red", "blue"],
    "transform": {"offset": None, "divisor": None, "terms": None},
}
_WEIGHTS = {
    "layers": [{"name": "0", "activation": "identity", "weight": [[1.25, -0.5]], "bias": [0.75]}],
    "skip": None,
}
_TRAINING = {
    "epochs": 10_000,
    "optimizer": "sgd",
    "learning_rate": 1.0,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "batch_size": None,
    "validation_fraction": 0.0,
    "patience": None,
    "min_delta": 0.0001,
    "seed": 0,
    "class_weight": None,
    "restarts": 1,
    "ensemble": 1,
    "implementation": "auto",
}
_RESTARTS = [{"seed": 0, "stop_reason": "completed", "epochs_run": 10_000, "metrics": _METRICS}]
_SUBMITTED = {
    "publish": True,
    "supersede": None,
    "snapshots": None,
    "model": "my-flower",
    "data": _DATA,
    "data_digest": _DIGEST,
    "preset": "tutorial",
    "network": _NETWORK,
    "training": _TRAINING,
    "started_from": None,
    "recipe_digest": _DIGEST,
    "promote_if": None,
    "promote_to": None,
    "metadata": {"course": "ml-101"},
}
_JOB_ID = "0f1c2d3e4f5a6b7c8d9e0f1a"
_JOB = _SUBMITTED | {
    "object": "training.job",
    "id": _JOB_ID,
    "status": "succeeded",
    "version": 2,
    "created_at": "2026-03-01T12:00:00Z",
    "started_at": "2026-03-01T12:00:00.010000Z",
    "finished_at": "2026-03-01T12:00:00.055000Z",
    "estimated_finish_at": None,
    "training_seconds": 0.041,
    "progress": {"epoch": 10_000, "epochs": 10_000, "fraction": 1.0},
    "metrics": _METRICS,
    "restart_results": _RESTARTS,
    "warnings": [],
    "comparison": None,
    "promotion": None,
    "attempt": 1,
    "retry_of": None,
    "problem": None,
    "expires_at": None,
    "superseded_by": None,
    "links": {"self": f"/jobs/{_JOB_ID}", "events": f"/jobs/{_JOB_ID}/events", "version": _PATH},
}
_EVENT = {
    "object": "training.job.event",
    "id": 2,
    "type": "metrics",
    "created_at": "2026-03-01T12:00:00.030000Z",
    "job_id": _JOB_ID,
    "data": {"epoch": 5_000, "epochs": 10_000, "metrics": _METRICS},
}

_COLORS = ["#c8372d", "#2f6fb3"]
_HISTORY = {
    "object": "training.history",
    "model": "my-flower",
    "version": 2,
    "job_id": _JOB_ID,
    "n_networks": 1,
    "member": 0,
    "epoch": [1, 2, 3],
    "training_loss": [0.71, 0.64, 0.55],
    "training_accuracy": [0.5, 0.62, 0.81],
    "validation_loss": None,
    "validation_accuracy": None,
}
_TRAINING_POINTS = {
    "object": "training.points",
    "model": "my-flower",
    "version": 2,
    "feature_names": None,
    "classes": ["red", "blue"],
    "colors": _COLORS,
    "n_points": 400,
    "offset": 0,
    "has_more": True,
    "points": [[0.5, -0.25], [2.0, 1.0]],
    "labels": ["red", "blue"],
    "split": ["training", "validation"],
    "predicted_labels": ["red", "red"],
    "probabilities": [[0.98, 0.02], [0.61, 0.39]],
}

_MODEL = {
    "object": "model",
    "name": "my-flower",
    "version_count": 3,
    "newest_version": 3,
    "served_version": 2,
    "latest": _SUMMARY,
    "aliases": {"latest": 2, "production": 1},
    "keep_versions": None,
    "links": {
        "self": "/models/my-flower",
        "versions": "/models/my-flower/versions",
        "aliases": "/models/my-flower/aliases",
        "latest": _PATH,
    },
}
_ALIAS = {
    "object": "model.alias",
    "model": "my-flower",
    "alias": "production",
    "version": 1,
    "moved_at": "2026-03-01T12:00:00Z",
    "links": {"self": "/models/my-flower/aliases/production", "version": "/models/my-flower/versions/1"},
}
_DATASET = {
    "object": "dataset",
    "type": "generated",
    "name": "flower",
    "description": "Petals of two colors, as in the tutorial.",
    "n_features": 2,
    "classes": ["red", "blue"],
    "max_classes": 2,
    "defaults": {"n": 400, "noise": 0.2, "seed": 1, "n_classes": 2},
    "links": {"self": "/datasets/flower", "points": "/datasets/flower/points"},
}
_STORED_DATASET = {
    "object": "dataset",
    "type": "stored",
    "name": "iris",
    "n_points": 150,
    "n_features": 2,
    "n_classes": 3,
    "digest": _DIGEST,
    "size_bytes": 3_500,
    "created_at": "2026-03-01T12:00:00Z",
}
_DATASET_LINKS = {"links": {"self": "/datasets/iris", "points": "/datasets/iris/points"}}


def _page(item: dict[str, Any], item_id: str, *, has_more: bool = True) -> dict[str, Any]:
    return {"object": "list", "data": [item], "has_more": has_more, "first_id": item_id, "last_id": item_id}


_CALLS = {"count": 3, "ns": 150_000}
_PROTOCOL: dict[type[BaseModel], Any] = {
    ServerHealth: {"live": True, "ready": True},
    ServerMetadata: {"name": "separatrix", "version": "0.3.0", "extensions": ["binary_tensor_data", "statistics"]},
    ModelMetadata: {
        "name": "my-flower",
        "versions": ["1", "2"],
        "platform": "separatrix_safetensors",
        "inputs": [{"name": "points", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "labels", "datatype": "BYTES", "shape": [-1]},
        ],
    },
    ModelReady: {"name": "my-flower", "ready": True},
    ModelConfig: {
        "name": "my-flower",
        "platform": "separatrix_safetensors",
        "backend": "separatrix",
        "version_policy": {"all": {}},
        "max_batch_size": 0,
        "input": [{"name": "points", "data_type": "TYPE_FP32", "dims": [-1, 2]}],
        "output": [
            {"name": "probabilities", "data_type": "TYPE_FP32", "dims": [-1, 2]},
            {"name": "labels", "data_type": "TYPE_STRING", "dims": [-1]},
        ],
        "parameters": {"classes": {"string_value": '["red","blue"]'}},
    },
    InferResponse: {
        "model_name": "my-flower",
        "model_version": "2",
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [2, 2], "data": [0.03, 0.97, 0.88, 0.12]},
            {"name": "labels", "datatype": "BYTES", "shape": [2], "data": ["blue", "red"]},
        ],
    },
    RepositoryIndex: [{"name": "my-flower", "version": "2", "state": "READY", "reason": ""}],
    ModelStatisticsList: {
        "model_stats": [
            {
                "name": "my-flower",
                "version": "2",
                "last_inference": 1_772_366_400_000,
                "inference_count": 300,
                "execution_count": 3,
                "inference_stats": {
                    "success": _CALLS,
                    "fail": {"count": 0, "ns": 0},
                    "queue": {"count": 3, "ns": 0},
                    "compute_input": _CALLS,
                    "compute_infer": _CALLS,
                    "compute_output": _CALLS,
                    "cache_hit": {"count": 0, "ns": 0},
                    "cache_miss": {"count": 0, "ns": 0},
                },
                "batch_stats": [],
            }
        ]
    },
    NothingMore: {},
    ProtocolError: {
        "error": "Model not found: No model is named 'flower'. GET /models, or `separatrix models`, lists all models."
    },
}
"""Those of the Open Inference Protocol."""

EXAMPLES: dict[type[BaseModel], Any] = {
    **_PROTOCOL,
    History: _HISTORY,
    TrainingPointsPage: _TRAINING_POINTS,
    Predictions: {"predictions": ["blue", "red"]},
    Prediction: {
        "model": "flower-sequential",
        "version": 1,
        "classes": ["red", "blue"],
        "labels": ["blue", "red"],
        "probabilities": [[0.03, 0.97], [0.88, 0.12]],
    },
    Comparison: {
        "object": "comparison",
        "a": {"model": "my-flower", "version": 1, "metrics": _METRICS, "evaluation": None},
        "b": {"model": "my-flower", "version": 2, "metrics": _METRICS, "evaluation": None},
        "classes": ["red", "blue"],
        "colors": ["#c8372d", "#2f6fb3"],
        "window": {
            "axes": [0, 1],
            "axis_names": None,
            "at": [],
            "window": {"x_min": -5.0, "x_max": 5.0, "y_min": -5.0, "y_max": 5.0},
            "shape": [200, 200],
        },
        "dataset": None,
        "training_data": None,
        "compared": 40_000,
        "differing": 1_360,
        "disagreement": 0.034,
        "confusion": [[19_500, 660], [700, 19_140]],
        "differences": [
            {"a": "blue", "b": "red", "count": 700, "color": "#b74949"},
            {"a": "red", "b": "blue", "count": 660, "color": "#546da2"},
        ],
        "flips": None,
        "has_more": False,
    },
    VersionSummary: _SUMMARY,
    VersionList: _page(_SUMMARY, "2"),
    ModelList: _page(_MODEL, "my-flower"),
    JobList: _page(_JOB, _JOB_ID),
    DatasetList: _page(_DATASET, "flower", has_more=False),
    Model: _MODEL,
    Alias: _ALIAS,
    AliasList: _page(_ALIAS, "production", has_more=False),
    Version: _SUMMARY
    | {
        "reason": None,
        "job_id": _JOB_ID,
        "card": {
            "imported": None,
            "network": _NETWORK,
            "n_networks": 1,
            "n_features": 2,
            "feature_names": None,
            "classes": ["red", "blue"],
            "data": _DATA,
            "data_digest": _DIGEST,
            "offset": None,
            "divisor": None,
            "data_summary": {"min": [-4.0, -4.0], "max": [4.0, 4.0], "median": [0.0, 0.0]},
            "training": _TRAINING,
            "started_from": None,
            "recipe_digest": _DIGEST,
            "stop_reason": "completed",
            "epochs_run": 10_000,
            "metrics": _METRICS,
            "evaluation": {
                "training": {
                    "log_loss": 0.1001,
                    "accuracy": 0.9675,
                    "confusion": [[193, 7], [6, 194]],
                    "recall": [0.965, 0.97],
                    "precision": [0.97, 0.965],
                },
                "validation": None,
                "cross_validation": None,
            },
            "search": None,
            "warnings": [],
            "implementation": "compiled",
            "restart_results": _RESTARTS,
            "software": {"separatrix": "0.3.0", "torch": "2.13.0"},
            "files": {"network.pth": _DIGEST, "network.safetensors": _DIGEST},
        },
        "links": {
            "self": _PATH,
            "checkpoint": f"{_PATH}/checkpoint",
            "boundary_grid": "/boundary-grid?model=my-flower&version=2",
            "job": f"/jobs/{_JOB_ID}",
        },
    },
    NetworkDocument: _DESCRIPTION | {"n_networks": 1} | _WEIGHTS,
    EnsembleDocument: _DESCRIPTION | {"n_networks": 2, "members": [_WEIGHTS, _WEIGHTS]},
    Layer: _LAYER,
    Layers: {
        "object": "model.layers",
        "model": "my-flower",
        "version": 2,
        "n_networks": 1,
        "member": 0,
        "n_parameters": 3,
        "text": "Sequential(\n  (0): Linear(in_features=2, out_features=1, bias=True)\n)",
        "layers": [_LAYER],
    },
    Job: _JOB,
    Validation: _SUBMITTED | {"object": "training.validation"},
    EventPage: {"object": "list", "data": [_EVENT], "has_more": True, "first_id": 2, "last_id": 2},
    StreamEvent: _EVENT,
    GeneratedDataset: _DATASET,
    StoredDatasetSummary: _STORED_DATASET | _DATASET_LINKS,
    StoredDataset: _STORED_DATASET
    | {
        "features": [
            {"name": "petal length", "min": 1.0, "max": 6.9, "mean": 3.758},
            {"name": "petal width", "min": 0.1, "max": 2.5, "mean": 1.199},
        ],
        "categories": None,
        "classes": [
            {"label": "setosa", "count": 50},
            {"label": "versicolor", "count": 50},
            {"label": "virginica", "count": 50},
        ],
        "label": "species",
        "understood": ["body: 150 rows, separated by a comma, decimal mark '.', heading in line 1"],
        "warnings": [],
    }
    | _DATASET_LINKS,
    DatasetPoints: {
        "object": "points",
        "dataset": "flower",
        "feature_names": None,
        "classes": ["red", "blue"],
        "n_points": 400,
        "offset": 0,
        "has_more": True,
        "points": [[1.5, 0.25], [-0.5, 2.0]],
        "labels": ["red", "blue"],
    },
    Live: {"status": "live"},
    Ready: {
        "status": "ready",
        "models": 5,
        "broken_versions": 0,
        "missing": [
            {"part": "trainings", "reason": "No training process can be started. The log of the service says why."}
        ],
    },
    Problem: {
        "type": "urn:separatrix:problem:invalid-input",
        "code": "invalid-input",
        "title": "The request is invalid",
        "status": 422,
        "detail": "training.epochs: must be at least 1",
        "error": "The request is invalid: training.epochs: must be at least 1",
        "errors": [{"in": "body", "field": "training.epochs", "detail": "must be at least 1"}],
    },
}
"""By the schema of the response. FastAPI leaves out the nulls of examples that are given to a schema or a route."""
