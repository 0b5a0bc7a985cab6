"""The pages over made-up facts, on loopback: for the browser tests, and by hand (`sample_app.py SCENE`)."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

sys.path.insert(0, str(Path(__file__).parent))

import sample_source
from sample_facts import AT

from seamark.core.clock import ManualClock
from seamark.core.findings import RunStatus
from seamark.web import guard, pages, problems
from seamark.web.page_runs import RunFacts


class LiveSource(sample_source.SampleSource):
    """The sample source, whose running run ends when it was stopped or has sent its last line."""

    def __init__(self, scene: str) -> None:
        super().__init__(scene)
        self.posts: list[str] = []
        self.finished: RunFacts | None = None
        self.taken = False  # whether a worker has taken the run that waits

    def run(self, run_id: str) -> tuple[RunFacts, list[dict[str, Any]]]:
        found, lines = super().run(run_id)
        return (self.finished, lines) if self.finished and self.finished.id == run_id else (found, lines)

    def finish(self, run_id: str, status: RunStatus) -> None:
        found = sample_source.verdict(status, "one replica carries 48 requests/s")
        self.finished = replace(super().run(run_id)[0], status=status, verdict=found, reason=found.reason, ended_at=AT)


@dataclass
class Sample:
    """The running application: where it is and what was posted to it."""

    url: str
    source: LiveSource
    app: FastAPI = field(repr=False)


def make_app(source: LiveSource, *, open_access: bool = True, progress_every_s: float = 0.05) -> FastAPI:
    """The pages with the doors that their scripts call."""
    app = FastAPI()
    no_keys = SimpleNamespace(any=lambda: not open_access, by_id=lambda key_id: None)
    app.state.services = SimpleNamespace(
        clock=ManualClock(AT),
        catalog=SimpleNamespace(keys=no_keys),
        open_access=open_access,
        url="http://127.0.0.1:8000",
    )
    app.include_router(pages.router(lambda request: source))
    app.mount("/static", pages.static_files())

    @app.get("/api/v1/runs/{run_id}/events")
    async def events(run_id: str) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            facts = source.run(run_id)[0]
            if facts.waiting:
                told = {"reason": facts.waiting, "run_id": facts.waiting_run}
                yield f"event: waiting\ndata: {json.dumps(told)}\n\n"
                while not source.taken:
                    await asyncio.sleep(0.05)
            for t_s in range(1, 100):
                if source.finished:
                    break
                yield f"id: {t_s}\nevent: progress\ndata: {json.dumps(sample_source.progress_line(t_s))}\n\n"
                await asyncio.sleep(0 if t_s < 60 else progress_every_s)
            if not source.finished:
                source.finish(run_id, RunStatus.PASSED)
            assert source.finished
            yield f"event: end\ndata: {json.dumps({'status': source.finished.status.value})}\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    @app.post("/api/v1/runs/{run_id}/stop")
    def stop(request: Request, run_id: str) -> dict[str, str]:
        source.posts.append(f"stop {run_id} {request.headers['content-type']}")
        source.finish(run_id, RunStatus.ABORTED)
        return {"id": run_id}

    @app.post("/api/v1/loadtests/{name:path}/runs")
    def start(name: str) -> JSONResponse:
        source.posts.append(f"run {name}")
        if source.scene == "hostile":
            return JSONResponse({"detail": "<img src=x onerror=alert(3)> is not allowed"}, 409)
        return JSONResponse({"id": "aa00000000000001"}, 202)

    problems.install(app)
    guard.install(app, host="127.0.0.1", url="http://127.0.0.1:8000")
    return app


@contextmanager
def serve(scene: str, *, port: int = 0, progress_every_s: float = 0.05) -> Iterator[Sample]:
    """Run the sample on loopback until the block ends."""
    source = LiveSource(scene)
    app = make_app(source, progress_every_s=progress_every_s)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="warning", lifespan="off", ws="none", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    thread = Thread(target=lambda: server.run(sockets=[socket]), daemon=True)
    thread.start()
    try:
        yield Sample(f"http://127.0.0.1:{socket.getsockname()[1]}", source, app)
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        socket.close()


if __name__ == "__main__":
    with serve(sys.argv[1] if len(sys.argv) > 1 else "full", port=8099, progress_every_s=1.0) as sample:
        print(sample.url)
        try:
            asyncio.run(asyncio.Event().wait())  # type: ignore[arg-type]
        except KeyboardInterrupt:
            pass
