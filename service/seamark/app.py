"""Settings -> a running service: opens the stores, wires the rooms, starts the loops, and undoes it in reverse."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from types import ModuleType

import httpx
from fastapi import APIRouter, FastAPI

from seamark import __version__
from seamark.compute.drift import METHODS
from seamark.compute.shapes import SHAPES
from seamark.core.clock import Clock, SystemClock
from seamark.core.errors import DataFolderBusy, StartRefused
from seamark.core.specs import ChannelSpec, Known
from seamark.delivery.channels import CHANNELS
from seamark.engine import backtests, dispatch, inference, loadtest_schedule, loadtests, maintain, reports
from seamark.engine.advice import ADVISED_EVERY_S, advise_all
from seamark.engine.arrival_history import ArrivalRoll
from seamark.engine.configuration import Configuration
from seamark.engine.evaluate import Evaluator
from seamark.engine.model_history import ModelRoll
from seamark.engine.prometheus_inputs import EVERY_S, Questions
from seamark.engine.scheduler import Job, loop
from seamark.engine.services import Services
from seamark.runner.order import SCENARIOS
from seamark.settings import GRPC_PORT, Settings
from seamark.store.buffer import WriteBuffer
from seamark.store.catalog import Catalog
from seamark.store.catalog.database import Database, Leadership
from seamark.store.heard import Heard
from seamark.store.lake_connection import S3Options
from seamark.store.lakes import LAKES
from seamark.telemetry import Telemetry
from seamark.web import (
    alerts,
    api_docs,
    auth,
    autoscale,
    cloudevents,
    compare,
    distributions,
    guard,
    headroom,
    ingest,
    keys,
    measures,
    models,
    page_compare,
    pages,
    problems,
    quality,
    references,
    system,
    tempo,
    traces,
)
from seamark.web import (
    backtests as backtest_doors,
)
from seamark.web import loadtests as loadtest_doors
from seamark.web.intake import Intake
from seamark.web.unread import ReadBeforeClosing

log = logging.getLogger(__name__)

EVALUATION_LEADER = 7_362_002


def known_names() -> Known:
    """The registries' names, handed to whoever checks what people wrote."""
    shapes = {name: shape.check for name, shape in SHAPES.items()}
    return Known(frozenset(METHODS), shapes, frozenset(CHANNELS), SCENARIOS)


def is_loopback(host: str) -> bool:
    """Whether an address can only be reached from this machine."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def open_services(settings: Settings, clock: Clock | None = None) -> Iterator[Services]:
    """Open the stores and yield the services; StartRefused says what stands in the way.

    The caller holds the data folder (hold_folder).
    """
    clock = clock or SystemClock()
    if settings.embedded and settings.role != "all":
        raise StartRefused(
            f"--role {settings.role} needs a catalog that several nodes can share: set SEAMARK_DATABASE_URL to a "
            "PostgreSQL, and SEAMARK_LAKE to an s3:// place or a shared folder"
        )
    with ExitStack() as stack:
        database = Database(settings.catalog_url)
        stack.callback(database.close)
        if settings.embedded:
            database.upgrade()
        else:
            database.require_current()
        catalog = Catalog(database)
        open_access = _check_access(settings, catalog)
        lake = LAKES["ducklake"](
            data_dir=settings.data_dir,
            catalog_url=settings.catalog_url,
            location=settings.lake,
            s3=_s3(settings),
        )
        stack.callback(lake.close)
        telemetry = Telemetry(version=__version__)
        channels = tuple(
            ChannelSpec(f"alertmanager-{index}", "alertmanager", url)
            for index, url in enumerate(settings.alertmanagers, 1)
        )
        configuration = Configuration(catalog, known_names(), channels)
        if settings.config is not None:
            configuration.apply(_read(settings.config), clock.now())
        client = stack.enter_context(httpx.Client(timeout=10.0, follow_redirects=False, trust_env=False))
        yield Services(
            clock=clock,
            lake=lake,
            heard=Heard(lake),
            buffer=WriteBuffer(lake, rows_max=settings.buffer_rows, on_commit=telemetry.observe_commit),
            catalog=catalog,
            telemetry=telemetry,
            configuration=configuration,
            http=client,
            url=settings.url,
            data_dir=settings.data_dir,
            grpc_port=settings.grpc_port or GRPC_PORT,
            loadtests_dir=settings.loadtests_dir or settings.data_dir / "loadtests",
            loadtest_bind=settings.loadtest_address,
            open_access=open_access,
            max_body_bytes=settings.max_body_bytes,
            retention_days=settings.retention_days,
        )


def _check_access(settings: Settings, catalog: Catalog) -> bool:
    """Return whether the service is open to whoever reaches it; refuse an address others reach without keys."""
    if settings.insecure:
        return True
    if is_loopback(settings.host):
        return True
    if not catalog.keys.any():
        raise StartRefused(
            f"{settings.host} can be reached by others and there are no API keys. Make one first "
            "(`seamark keys create --scope admin --local`), or bind to 127.0.0.1, or say --insecure"
        )
    return False


def _s3(settings: Settings) -> S3Options | None:
    if not (settings.lake or "").startswith("s3://"):
        return None
    return S3Options(
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=settings.s3_secret_access_key,
    )


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise StartRefused(f"cannot read {path}: {error}") from None


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold a data folder for this process alone; DataFolderBusy where another has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / "seamark.lock").open("a+")
    except OSError as error:
        raise StartRefused(f"the data folder {folder} cannot be used: {error.strerror}") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            holder = handle.read(20).strip() or "unknown"
            raise DataFolderBusy(
                f"another seamark serve (process {holder}) holds {folder}; stop it, or name another --data-dir"
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def jobs(services: Services, stopping: Callable[[], bool]) -> list[Job]:
    """Every job of the engine with its interval; those that only one node may run wait for the lead."""
    leads = Leadership(services.catalog.database, EVALUATION_LEADER).holds
    evaluator = Evaluator()
    joiner = inference.Joiner()
    backtester = backtests.Backtester()
    arrivals, models, questions = ArrivalRoll(), ModelRoll(), Questions()

    def led(run: Callable[[Services, datetime], object]) -> Callable[[Services, datetime], object]:
        return lambda s, at: run(s, at) if leads() else None

    return [
        Job("evaluate", 1.0, led(evaluator.tick)),
        Job("advise", ADVISED_EVERY_S, led(lambda s, at: advise_all(s, at, stopping))),
        Job("ask-prometheus", EVERY_S, led(lambda s, at: questions.tick(s, at, stopping))),
        Job("count-arrivals", 10.0, led(arrivals.tick)),
        Job("look-at-replicas", 30.0, led(lambda s, at: models.tick(s, at, stopping))),
        Job("schedule-load-tests", 1.0, loadtest_schedule.tick),
        Job(loadtests.JOB, 1.0, lambda s, at: loadtests.work(s, at, stopping)),
        Job("dispatch-alerts", 1.0, lambda s, at: dispatch.dispatch(s, at, stopping)),
        Job("make-drift-reports", 2.0, lambda s, at: reports.make_reports(s, at, stopping)),
        Job("backtest-advice", 2.0, led(lambda s, at: backtester.tick(s, at, stopping))),
        Job("join-inferences", 10.0, led(lambda s, at: joiner.tick(s, at, stopping))),
        Job("maintain-lake", 10.0, led(lambda s, at: maintain.maintain_lake(s, at, stopping))),
        Job("prune-catalog", 60.0, led(maintain.prune_catalog)),
    ]


def create_app(services: Services, *, host: str = "127.0.0.1", role: str = "all") -> FastAPI:
    """Return the application over opened services. Loops run where the role has them."""
    app = FastAPI(
        title="Seamark",
        version=__version__,
        summary="Watches deployed models and says how much load they can carry.",
        lifespan=_lifespan(services, role),
        docs_url=None,  # its pages load scripts from a CDN; web/api_docs.py needs none
        redoc_url=None,
    )
    app.state.services = services
    app.state.intake = Intake(services)
    app.state.grpc = None  # its door, once serving.py has bound the port
    app.state.stopping = asyncio.Event()  # set at the signal: whoever waits or streams ends its answer
    for room in (
        ingest,
        cloudevents,
        autoscale,
        headroom,
        backtest_doors,
        measures,
        references,
        quality,
        compare,
        distributions,
        models,
        loadtest_doors,
        alerts,
        traces,
        tempo,
        keys,
        system,
        page_compare,
        pages,
        api_docs,
        auth,
    ):
        app.include_router(_router(room))
    app.mount("/static", pages.static_files())
    problems.install(app)
    guard.install(app, host=host, url=services.url)
    app.add_middleware(ReadBeforeClosing)  # around all that may answer early
    return app


@cache
def _router(room: ModuleType) -> APIRouter:
    """A room's doors, made once: they find the services in the application, so that several of these share them."""
    made: APIRouter = room.router()
    return made


def _lifespan(services: Services, role: str) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Torn down in reverse: the loops end, then what senders wait for is committed, then the stores close.
        async with AsyncExitStack() as stack:
            pool = ThreadPoolExecutor(max_workers=32, thread_name_prefix="seamark")
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            asyncio.get_running_loop().set_default_executor(pool)
            await services.buffer.start()
            stack.push_async_callback(services.buffer.drain, 10.0)
            stack.push_async_callback(app.state.intake.write_counts)
            if role != "web":
                await stack.enter_async_context(_loops(services))
            if app.state.grpc is not None:
                await stack.enter_async_context(app.state.grpc.serving(app.state.stopping))
            yield

    return lifespan


@asynccontextmanager
async def _loops(services: Services) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    tasks = []
    if services.catalog.database.is_sqlite:
        # Whoever ran these held this folder before us, and is gone.
        services.catalog.runs.expire(services.clock.now(), whatever_lease=True)
    for job in jobs(services, stopping.is_set):
        services.telemetry.expect_job(job.name, job.every_s)
        tasks.append(asyncio.create_task(loop(services, job, stopping), name=job.name))
    try:
        yield
    finally:
        stopping.set()
        await asyncio.gather(*tasks, return_exceptions=True)
