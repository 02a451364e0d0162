"""The role that each route needs, in one table. A service with a route that is not in it does not start."""

from service.access.keys import Role

NEEDED: dict[Role, tuple[str, ...]] = {
    # What says nothing about models and data, for clients without a key yet: probes, the description of the API, the
    # files of the page.
    Role.PUBLIC: (
        *("GET /health/live", "GET /health/ready", "GET /ping", "GET /v2/health/live", "GET /v2/health/ready"),
        *("GET /openapi.json", "GET /docs", "GET /docs/{folder}/{name}"),
        *("GET /", "GET /page/{digest}/{path:path}"),
    ),
    # Everything that changes nothing. Anyone who may download a network can draw its boundary and compare it anyway.
    Role.READ: (
        *("GET /jobs", "GET /jobs/{job_id}", "GET /jobs/{job_id}/checkpoint", "GET /jobs/{job_id}/events"),
        *("GET /events", "GET /datasets", "GET /datasets/{name}", "GET /datasets/{name}/points", "GET /metrics"),
        *("GET /boundary-grid", "GET /comparison", "GET /models", "GET /models/{name}", "GET /models/{name}/versions"),
        *("GET /models/{name}/versions/{version}", "GET /models/{name}/versions/{version}/checkpoint"),
        *("GET /models/{name}/versions/{version}/layers", "GET /models/{name}/versions/{version}/layers/{layer}"),
        *("GET /models/{name}/aliases", "GET /models/{name}/aliases/{alias}"),
        *("GET /v2", "GET /v2/models/stats", "GET /v2/models/{model}", "GET /v2/models/{model}/versions/{version}"),
        *("GET /v2/models/{model}/stats", "GET /v2/models/{model}/versions/{version}/stats"),
        *("GET /v2/models/{model}/ready", "GET /v2/models/{model}/versions/{version}/ready"),
        *("GET /v2/models/{model}/config", "GET /v2/models/{model}/versions/{version}/config"),
        *("GET /jobs/{job_id}/layers", "GET /jobs/{job_id}/history", "GET /jobs/{job_id}/points"),
        *("GET /models/{name}/versions/{version}/history", "GET /models/{name}/versions/{version}/points"),
        "POST /v2/repository/index",
    ),
    # Points in, classes out.
    Role.PREDICT: (
        *("POST /predict", "POST /invocations", "POST /v2/repository/models/{model}/load"),
        *("POST /v2/models/{model}/infer", "POST /v2/models/{model}/versions/{version}/infer"),
    ),
    # What adds jobs, versions and datasets. A training can move an alias, so this role may move aliases.
    Role.TRAIN: (
        *("POST /train", "POST /models/{name}/corrections", "POST /models/{name}/versions", "POST /datasets/{name}"),
        *("POST /jobs/{job_id}/cancel", "POST /jobs/{job_id}/pause", "POST /jobs/{job_id}/resume"),
        *("POST /jobs/{job_id}/retry", "PUT /models/{name}/aliases/{alias}"),
        "POST /jobs",  # another name of /train
    ),
    # What deletes, and what makes publications delete.
    Role.ADMIN: (
        *("DELETE /jobs/{job_id}", "DELETE /datasets/{name}", "DELETE /models/{name}", "PUT /models/{name}"),
        *("DELETE /models/{name}/versions/{version}", "DELETE /models/{name}/aliases/{alias}"),
        "POST /v2/repository/models/{model}/unload",
    ),
}
"""The routes by the least role that they need, as method and path."""


def by_route() -> dict[tuple[str, str], Role]:
    """The role that each route needs, by method and path."""
    found = {}
    for role, routes in NEEDED.items():
        for route in routes:
            method, _, path = route.partition(" ")
            found[method, path] = role
    return found
