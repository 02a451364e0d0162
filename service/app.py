"""The composition root: builds the parts of the server and connects them."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from threading import Event
from typing import Any

from anyio import CapacityLimiter, create_task_group, to_thread
from fastapi import Depends, FastAPI
from fastapi.routing import iter_route_contexts
from starlette.types import ASGIApp

from service.api import invocations, openapi, roles, system
from service.api.datasets import routes as dataset_routes
from service.api.deps import Services
from service.api.grids import routes as grid_routes
from service.api.inference_protocol import endpoint as infer_endpoint
from service.api.inference_protocol import routes as protocol_routes
from service.api.inference_protocol.fast_path import InferFastPath
from service.api.inference_protocol.statistics import Statistics
from service.api.jobs import events as job_events
from service.api.jobs import routes as job_routes
from service.api.models import aliases, comparison, corrections, deletion, exports, imports, layers
from service.api.models import routes as model_routes
from service.api.pages import docs_page, playground
from service.api.predictions import routes as prediction_routes
from service.api.predictions.fast_path import PredictFastPath
from service.api.predictions.routes import PredictEndpoint
from service.api.trainings import history
from service.api.trainings import points as training_points
from service.datasets.stored import StoredDatasets
from service.errors import StoreUnavailable
from service.http import problems, query_parameters
from service.http.bodies.held_bodies import HeldBodies
from service.http.front import cors, prefix
from service.http.front.callers import Callers
from service.http.front.guard import Guard
from service.http.metrics import Metrics, SharedMetrics
from service.http.middleware import Middleware
from service.http.response_cache import ResponseCache
from service.jobs.engine import make_engine
from service.jobs.queue import JobQueue
from service.jobs.seed_models import SeedModels
from service.jobs.spaces import JobSpace, JobSpaces
from service.live.background import repeat_forever
from service.live.event_broadcaster import EventBroadcaster
from service.live.frame_renderer import FrameRenderer
from service.live.job_networks import JobNetworks
from service.live.kept_networks import KeptNetworks
from service.live.probe import Probe
from service.live.wakeup import Wakeup
from service.processes.cores import usable_cores
from service.processes.fork_server import helper_processes
from service.processes.torch_tasks import TorchTasks
from service.registry.membership import Membership
from service.registry.registry import Registry
from service.settings import Settings
from service.store.disk import DiskUse
from service.store.files import Files
from service.store.store import Store
from service.time_travel.replays import Replays
from service.tracing import Tracer

SEED_MODELS_POLL_S = 0.25
"""How often to check whether the seed models are published."""

FIRST_CHECK_S = 0.5
"""How long a start may read checkpoints: enough for some hundred versions. The others are read in the background."""

SHARED_METRICS_S = 1.0
"""How often each process writes its metrics for the others, in seconds."""

HEAVY_ANSWERS = 4
"""Maximum number of large responses computed at a time. One core stays free for small requests, if there are
several."""

LIVE_THREADS = 2
"""Threads for pictures and networks of running jobs. They are separate from the threads of large responses, which
therefore do not delay them."""

WRITERS = 8
"""Maximum number of requests that write at a time: the database handles writes one by one."""

UPLOADS = 2
"""Maximum number of datasets that are read at a time: each takes a core and some disk."""

WAITING_REQUESTS = 100
"""Maximum number of requests that wait for a job at a time; each polls its job's row now and then."""

DESCRIPTION = "Trains small neural networks on points, serves them over HTTP, and shows their decision boundaries."


def create_app(settings: Settings, *, stopping: Event | None = None, shared_folder: Path | None = None) -> ASGIApp:
    """Returns the ASGI application. Its lifespan opens the data folder and starts the job engine.

    Args:
        settings: of the service.
        stopping: set by the server as soon as it should stop, which is before the lifespan ends. Requests that wait for
            a job then return, and event streams end.
        shared_folder: where the processes of a service share their metrics and the rates of clients.
    """
    metrics = Metrics()
    response_cache = ResponseCache(settings.response_cache_bytes)
    stopping = stopping or Event()
    tracer = Tracer() if settings.tracing else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _running(settings, metrics, response_cache, stopping, shared_folder) as services:
            app.state.services = services
            yield
        if tracer is not None:
            await to_thread.run_sync(tracer.close)

    app = FastAPI(
        title="Separatrix",
        version=version("separatrix"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # the page is in `service.api.pages.docs_page`
        redoc_url=None,
        redirect_slashes=False,
        responses=problems.RESPONSES,
        generate_unique_id_function=openapi.operation_id,
    )
    problems.install(app)
    known = [Depends(query_parameters.require_known)]
    for module in (prediction_routes, invocations, grid_routes, job_routes, job_events, dataset_routes, system):
        app.include_router(module.router, dependencies=known)
    for module in (model_routes, aliases, comparison, corrections, deletion, exports, imports, layers):
        app.include_router(module.router, dependencies=known)
    for module in (history, training_points, docs_page, playground):
        app.include_router(module.router, dependencies=known)
    app.include_router(protocol_routes.router)  # ignores parameters that it does not know, as the protocol wants
    openapi.install(app)
    infer, fast_infer = infer_endpoint.InferEndpoint(app), InferFastPath(app, metrics, settings)
    infer_routes = [("POST", path) for path in infer_endpoint.PATHS]
    middleware = Middleware(
        app,
        fast_paths={
            ("POST", "/predict"): PredictFastPath(app, metrics, settings),
            **dict.fromkeys(infer_routes, fast_infer),
        },
        endpoints={
            ("POST", "/predict"): PredictEndpoint(app),
            ("GET", "/boundary-grid"): response_cache.respond,
            ("GET", "/comparison"): response_cache.respond,
            **dict.fromkeys(infer_routes, infer),
        },
        metrics=metrics,
        guard=Guard(settings, Callers(settings, shared_folder), roles.by_route(), _routes(app)),
        max_body_bytes=settings.max_body_bytes,
        tracer=tracer,
    )
    return _behind_front(middleware, settings)


def _routes(app: FastAPI) -> set[tuple[str, str]]:
    """The method and the path of each route. Requests with HEAD become GET before they reach the routes."""
    routes = {(method, one.path or "") for one in iter_route_contexts(app.routes) for method in one.methods or ()}
    return {(method, path) for method, path in routes if method != "HEAD"}


def _behind_front(app: ASGIApp, settings: Settings) -> ASGIApp:
    """The app with what browsers and proxies in front of it need. What is not set costs nothing."""
    if settings.root_path or settings.trusted_proxies:
        app = prefix.behind_proxies(app, root_path=settings.root_path, trusted_proxies=settings.trusted_proxies)
    return cors.allow(app, settings.cors_origins) if settings.cors_origins else app


@asynccontextmanager
async def _running(
    settings: Settings, metrics: Metrics, response_cache: ResponseCache, stopping: Event, shared_folder: Path | None
) -> AsyncIterator[Services]:
    """Opens the data folder, starts the engine and the background tasks, and always ends what it started."""
    async with AsyncExitStack() as ends:
        services, membership = _started(settings, metrics, response_cache, stopping, shared_folder, ends)
        async with _background_tasks(services, membership):
            yield services


def _started(
    settings: Settings,
    metrics: Metrics,
    response_cache: ResponseCache,
    stopping: Event,
    shared_folder: Path | None,
    ends: AsyncExitStack,
) -> tuple[Services, Membership]:
    """Opens and starts the parts of the service. `ends` receives how each of them ends."""

    def at_end(end: Callable[[], None]) -> None:
        ends.push_async_callback(to_thread.run_sync, end)

    server = secrets.token_hex(8)
    files = Files(settings.data_dir)
    store = Store.of(settings, files, server=server)  # checks that the folder is its own, before files are removed
    at_end(store.close)
    files.remove_abandoned()
    files.remove_orphans(store.datasets.files)
    wakeup = Wakeup()
    registry = Registry(store, files, loaded_bytes=settings.loaded_versions_bytes)
    membership = Membership(server, store, registry)
    at_end(partial(_leave, membership))
    engine = make_engine(settings, store, on_job_end=wakeup.notify)
    at_end(engine.close)
    registry.refresh()
    with suppress(StoreUnavailable):  # on a full disk it can read and answer; the task that renews it tries again
        membership.renew()
    registry.loader.check(for_s=FIRST_CHECK_S)
    job_queue = JobQueue(store, files, engine, max_queued_jobs=settings.max_queued_jobs)
    spaces = JobSpaces(settings, JobSpace(store, files, job_queue), on_job_end=wakeup.notify)
    at_end(spaces.close)
    kept_networks = KeptNetworks(spaces)
    seed_models = SeedModels(store, registry, job_queue)
    bodies = HeldBodies(settings)
    live_threads = CapacityLimiter(LIVE_THREADS)
    torch_tasks = TorchTasks(
        niceness=settings.training_niceness, log_level=settings.log_level, log_format=settings.log_format
    )
    at_end(torch_tasks.close)
    frame_renderer = FrameRenderer(spaces, registry, kept_networks, threads=live_threads)
    broadcaster = EventBroadcaster(
        spaces, registry, frame_renderer, wakeup=wakeup, stopping=stopping, max_streams=settings.max_streams
    )
    figures = partial(_figures, metrics, response_cache, registry, bodies, broadcaster)
    services = Services(
        settings=settings,
        stopping=stopping,
        store=store,
        files=files,
        registry=registry,
        datasets=StoredDatasets(store, files, max_bytes=settings.max_datasets_bytes),
        job_queue=job_queue,
        spaces=spaces,
        kept_networks=kept_networks,
        seed_models=seed_models,
        torch_tasks=torch_tasks,
        replays=Replays(torch_tasks, lambda job_id: spaces.of(job_id).files.data_dir),
        job_networks=JobNetworks(spaces, registry, kept_networks, threads=live_threads),
        wakeup=wakeup,
        broadcaster=broadcaster,
        frame_renderer=frame_renderer,
        bodies=bodies,
        disk=DiskUse(settings.data_dir, max_bytes=settings.max_data_bytes),
        metrics=metrics,
        shared_metrics=SharedMetrics(shared_folder, figures),
        inference_statistics=Statistics(),
        response_cache=response_cache,
        heavy_threads=CapacityLimiter(max(1, min(HEAVY_ANSWERS, usable_cores() - 1))),
        write_threads=CapacityLimiter(WRITERS),
        upload_threads=CapacityLimiter(UPLOADS),
        waiting_requests=CapacityLimiter(WAITING_REQUESTS),
        database_probe=Probe(store.jobs.any_queued),
        counts_probe=Probe(store.jobs.counts),
        disk_probe=Probe(lambda: files.free_bytes),
    )
    return services, membership


def _leave(membership: Membership) -> None:
    with suppress(StoreUnavailable):
        membership.leave()


def _figures(
    metrics: Metrics,
    response_cache: ResponseCache,
    registry: Registry,
    bodies: HeldBodies,
    broadcaster: EventBroadcaster,
) -> dict[str, Any]:
    """The metrics of this process."""
    counters = {
        "separatrix_response_cache_hits": response_cache.hits,
        "separatrix_response_cache_misses": response_cache.misses,
    }
    gauges = {
        "separatrix_response_cache_bytes": response_cache.total_bytes,
        "separatrix_loaded_versions_bytes": registry.loader.loaded_bytes,
        "separatrix_request_bodies_bytes": bodies.held_bytes,
        "separatrix_open_streams": broadcaster.open_streams,
    }
    return metrics.snapshot(counters, gauges)


@asynccontextmanager
async def _background_tasks(services: Services, membership: Membership) -> AsyncIterator[None]:
    """Runs the tasks that keep a service up to date."""
    settings = services.settings
    if settings.seed_models:
        services.seed_models.submit()
    services.seed_models.update()
    async with create_task_group() as tasks:
        tasks.start_soon(_remove_unused_files, services)
        tasks.start_soon(_repeat, "looking for changes of the registry", membership.renew)
        tasks.start_soon(_repeat, "checking checkpoints", services.registry.loader.check)
        tasks.start_soon(_repeat, "looking for jobs without a worker", services.job_queue.reconcile)
        tasks.start_soon(_repeat, "looking for trainings that have expired", services.spaces.sweep)
        tasks.start_soon(
            _repeat, "replacing an idle fork server", partial(helper_processes.rest, settings.training_idle_s)
        )
        tasks.start_soon(_repeat, "measuring the data folder", services.disk.measure)
        tasks.start_soon(_follow_seed_models, services.seed_models)
        tasks.start_soon(services.frame_renderer.run)
        tasks.start_soon(services.broadcaster.run)
        if settings.workers > 1:
            tasks.start_soon(_share_metrics, services)
        yield
        tasks.cancel_scope.cancel()


async def _repeat(what: str, action: Callable[[], float]) -> None:
    """Calls an action in a thread again and again, each time after the number of seconds that it returned."""
    own = CapacityLimiter(1)  # a separate thread, however many threads requests occupy

    async def act_and_wait() -> None:
        await asyncio.sleep(await to_thread.run_sync(action, limiter=own, abandon_on_cancel=True))

    await repeat_forever(what, act_and_wait)


async def _share_metrics(services: Services) -> None:
    """Shows the metrics of this process to the others, every second."""

    async def write_and_wait() -> None:
        services.shared_metrics.write()
        await asyncio.sleep(SHARED_METRICS_S)

    await repeat_forever("sharing metrics", write_and_wait)


async def _remove_unused_files(services: Services) -> None:
    """Removes files that a process left behind when it died. If the database is unavailable, the next start does."""
    with suppress(StoreUnavailable):
        await to_thread.run_sync(services.files.remove_unused, services.store.jobs.files_in_use)


async def _follow_seed_models(seed_models: SeedModels) -> None:
    """Updates the seed models until all are published."""
    while not seed_models.ready:
        with suppress(StoreUnavailable):
            await to_thread.run_sync(seed_models.update)
        await asyncio.sleep(SEED_MODELS_POLL_S)
