"""Where the server's parts are put together."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from threading import Event

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI

from service.api import datasets, grids, jobs, metrics, openapi, predictions, problems, registry, system
from service.api.bell import Bell
from service.api.brief import Brief
from service.api.deps import Services
from service.api.edge import Edge, Endpoint
from service.api.grids import KeptGrids
from service.api.kept_answers import KeptAnswers
from service.api.metrics import Metrics
from service.api.predictions import Predict
from service.jobs.local import LocalEngine
from service.registry import Registry
from service.settings import Settings
from service.starters import Starters
from service.store.files import Files
from service.store.store import Store
from service.trainer import Trainer

logger = logging.getLogger(__name__)

HOUSEKEEPING_S = 0.25
"""How often to look for versions of other processes and for jobs without a worker: three small indexed queries."""

HEAVY_ANSWERS = 4
"""Most large answers that are made at a time; more would only take turns on the same cores."""

WAITING_REQUESTS = 100
"""Most requests that wait for a job at a time; each looks at its job's row now and then."""

DESCRIPTION = "Trains small neural networks on points, serves them over HTTP, and shows where they draw the line."


def create_app(settings: Settings, *, stopping: Event | None = None) -> Brief:
    """The ASGI application. Its lifespan opens the data folder and the training processes, and closes them.

    `stopping` is set by whoever runs the server as soon as it is told to stop, which is before the lifespan ends:
    requests that wait for a job then wait no longer.
    """
    figures = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        files = Files(settings.data_dir)
        store = Store(files.database)
        bell = Bell()
        engine = LocalEngine(
            store,
            settings.data_dir,
            processes=settings.training_processes,
            log_level=settings.log_level,
            on_end=bell.ring,
        )
        versions = Registry(store, files)
        trainer = Trainer(store, files, engine, max_queued_jobs=settings.max_queued_jobs)
        starters = Starters(store, versions, trainer)
        app.state.services = Services(
            settings,
            store,
            files,
            versions,
            trainer,
            starters,
            stopping or Event(),
            CapacityLimiter(HEAVY_ANSWERS),
            CapacityLimiter(WAITING_REQUESTS),
            bell,
            figures,
            KeptAnswers(versions, settings.kept_answers_bytes),
        )
        if settings.starters:
            starters.begin()
        starters.observe()
        housekeeping = asyncio.create_task(_keep_house(app.state.services))
        try:
            yield
        finally:
            housekeeping.cancel()
            with suppress(asyncio.CancelledError):
                await housekeeping
            await to_thread.run_sync(engine.close)
            store.close()

    app = FastAPI(
        title="Separatrix",
        version=version("separatrix"),
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        responses=problems.RESPONSES,
    )
    problems.install(app)
    for router in (predictions, grids, jobs, registry, datasets, system, metrics):
        app.include_router(router.router)
    openapi.install(app)
    endpoints: dict[tuple[str, str], Endpoint] = {
        ("POST", "/predict"): Predict(app),
        ("GET", "/boundary-grid"): KeptGrids(app),
    }
    return Brief(Edge(app, endpoints, figures), app, figures, settings)


async def _keep_house(services: Services) -> None:
    """Keeps up with what other processes do to the data folder, for as long as the service runs."""
    while True:
        try:
            await to_thread.run_sync(services.registry.refresh)
            await to_thread.run_sync(services.trainer.reconcile)
            if not services.starters.ready:
                await to_thread.run_sync(services.starters.observe)
        except Exception:
            logger.exception("housekeeping failed, and is tried again")
        await asyncio.sleep(HOUSEKEEPING_S)
