"""Where the server's parts are put together."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from threading import Event

from anyio import CapacityLimiter, create_task_group, to_thread
from fastapi import Depends, FastAPI

from service.api import datasets, openapi, system
from service.api import models as model_routes
from service.api.deps import Services
from service.api.grids import routes as grid_routes
from service.api.jobs import events as job_events
from service.api.jobs import routes as job_routes
from service.api.predictions import routes as prediction_routes
from service.api.predictions.fast_path import PredictFastPath
from service.api.predictions.routes import PredictEndpoint
from service.errors import StoreUnavailable
from service.http import problems, query_parameters
from service.http.metrics import Metrics
from service.http.middleware import Middleware
from service.http.response_cache import ResponseCache
from service.jobs.local import LocalEngine
from service.jobs.queue import JobQueue
from service.jobs.seed_models import SeedModels
from service.live.background import repeat_forever
from service.live.event_broadcaster import EventBroadcaster
from service.live.frame_renderer import FrameRenderer
from service.live.wakeup import Wakeup
from service.registry.membership import Membership
from service.registry.registry import Registry
from service.settings import Settings
from service.store.files import Files
from service.store.store import Store

SEED_MODELS_LOOK_S = 0.25
"""How often to look whether the tutorial's networks are there."""

HEAVY_ANSWERS = 4
"""Most large answers that are made at a time; more would only take turns on the same cores."""

WRITERS = 8
"""Most requests that write at a time: the database takes them one by one."""

WAITING_REQUESTS = 100
"""Most requests that wait for a job at a time; each looks at its job's row now and then."""

DESCRIPTION = "Trains small neural networks on points, serves them over HTTP, and shows where they draw the line."


def create_app(settings: Settings, *, stopping: Event | None = None) -> Middleware:
    """The ASGI application. Its lifespan opens the data folder and the training processes, and closes them.

    `stopping` is set by whoever runs the server as soon as it is told to stop, which is before the lifespan ends:
    requests that wait for a job then wait no longer, and streams of events end.
    """
    metrics = Metrics()
    response_cache = ResponseCache(settings.response_cache_bytes)
    stopping = stopping or Event()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        server = secrets.token_hex(8)
        files = Files(settings.data_dir)
        files.remove_abandoned()
        store = Store.of(settings, files, server=server)
        wakeup = Wakeup()
        engine = LocalEngine(store, settings, on_end=wakeup.notify)
        versions = Registry(store, files)
        membership = Membership(server, store, versions)
        membership.renew()
        job_queue = JobQueue(store, files, engine, max_queued_jobs=settings.max_queued_jobs)
        heavy = CapacityLimiter(HEAVY_ANSWERS)
        frame_renderer = FrameRenderer(store, files, versions, threads=heavy)
        broadcaster = EventBroadcaster(
            store, versions, frame_renderer, wakeup=wakeup, stopping=stopping, max_streams=settings.max_streams
        )
        seed_models = SeedModels(store, versions, job_queue)
        app.state.services = Services(
            settings=settings,
            stopping=stopping,
            store=store,
            files=files,
            registry=versions,
            job_queue=job_queue,
            seed_models=seed_models,
            wakeup=wakeup,
            broadcaster=broadcaster,
            frame_renderer=frame_renderer,
            metrics=metrics,
            response_cache=response_cache,
            heavy_threads=heavy,
            write_threads=CapacityLimiter(WRITERS),
            waiting_requests=CapacityLimiter(WAITING_REQUESTS),
        )
        if settings.seed_models:
            seed_models.begin()
        seed_models.observe()
        async with create_task_group() as tasks:
            tasks.start_soon(_repeat, "looking for new versions", membership.renew)
            tasks.start_soon(_repeat, "looking for jobs without a worker", job_queue.reconcile)
            tasks.start_soon(_observe_seed_models, seed_models)
            tasks.start_soon(frame_renderer.run)
            tasks.start_soon(broadcaster.run)
            yield
            tasks.cancel_scope.cancel()
        await to_thread.run_sync(engine.close)
        with suppress(StoreUnavailable):
            await to_thread.run_sync(membership.leave)
        store.close()

    app = FastAPI(
        title="Separatrix",
        version=version("separatrix"),
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        responses=problems.RESPONSES,
        dependencies=[Depends(query_parameters.require_known)],
    )
    problems.install(app)
    for router in (
        prediction_routes,
        grid_routes,
        job_routes,
        job_events,
        model_routes,
        datasets,
        system,
    ):
        app.include_router(router.router)
    openapi.install(app)
    return Middleware(
        app,
        fast_paths={("POST", "/predict"): PredictFastPath(app, metrics, settings)},
        endpoints={("POST", "/predict"): PredictEndpoint(app), ("GET", "/boundary-grid"): response_cache.respond},
        metrics=metrics,
    )


async def _repeat(what: str, act: Callable[[], float]) -> None:
    """Does something in a thread again after as many seconds as it says, for as long as the service runs."""
    own = CapacityLimiter(1)  # no matter how many threads requests keep busy

    async def act_and_wait() -> None:
        await asyncio.sleep(await to_thread.run_sync(act, limiter=own, abandon_on_cancel=True))

    await repeat_forever(what, act_and_wait)


async def _observe_seed_models(seed_models: SeedModels) -> None:
    """Until they are there."""
    while not seed_models.ready:
        with suppress(StoreUnavailable):
            await to_thread.run_sync(seed_models.observe)
        await asyncio.sleep(SEED_MODELS_LOOK_S)
