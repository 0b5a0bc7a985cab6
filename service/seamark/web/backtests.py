"""A model's backtest on its own history: asked for, and read."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from seamark.core.errors import Invalid, NotFound, Problem
from seamark.core.findings import to_document
from seamark.core.own_backtest import DAYS, BacktestAsked, OwnBacktest, contract
from seamark.engine import backtests
from seamark.engine.services import Services
from seamark.web.asking import services_of
from seamark.web.auth import Principal, require
from seamark.web.autoscale import asked_for
from seamark.web.bodies import read_object

_NUMBERS = ("days", "cold_start_s", "capacity_rps")


def router() -> APIRouter:
    """The endpoint /api/v1/models/{model}/backtest."""
    routes = APIRouter(prefix="/api/v1/models/{model:path}", tags=["autoscale"])

    @routes.post("/backtest", status_code=202)
    async def ask(request: Request, model: str, who: Principal = Depends(require("run"))) -> JSONResponse:
        """Ask for a backtest on the model's own arrivals; a worker plays it within seconds to minutes.

        The body may have `days` (14), `cold_start_s` and `capacity_rps`: with any of them it is a what-if.
        """
        who.check_model(model)
        services = services_of(request)
        asked = _asked(services, await read_object(request, needed=False))
        await run_in_threadpool(backtests.ask, services, model, asked)
        return JSONResponse({"model": model, "state": "queued", "asked": to_document(asked)}, 202)

    @routes.get("/backtest")
    def newest(request: Request, model: str, who: Principal = Depends(require("read"))) -> dict[str, Any]:
        """The newest backtest on the model's own arrivals; `waiting` is what was asked for and is not played yet."""
        who.check_model(model)
        services = services_of(request)
        found = backtests.newest(services, model)
        waiting = backtests.waiting(services, model)
        if found is None:
            if waiting is None:
                asked_for(services, model)
            told = "it is being played; ask again" if waiting else "one is made each day, and on POST to this address"
            raise NotFound(f"{model[:100]} has no backtest yet: {told}")
        return _document(found, waiting)

    return routes


def _asked(services: Services, body: dict[str, Any]) -> BacktestAsked:
    problems = [Problem(name[:100], f"known are {', '.join(_NUMBERS)}") for name in body if name not in _NUMBERS]
    given = {name: body[name] for name in _NUMBERS if body.get(name) is not None}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
            problems.append(Problem(name, "must be a number"))
    if problems:
        raise Invalid("; ".join(map(str, problems[:10])), problems[:10])
    numbers = {name: float(value) for name, value in given.items()}
    return BacktestAsked(services.clock.now(), numbers.pop("days", DAYS), **numbers)


def _document(found: OwnBacktest, waiting: BacktestAsked | None) -> dict[str, Any]:
    told = to_document(found)
    del told["found"]
    played = contract(found.found) if found.found else {}
    played.pop("gate", None)  # the sentence goes with it in the finding's own
    fleet = {"min": found.found.fleet.min, "max": found.found.fleet.max} if found.found else {}
    return {
        **played,
        **fleet,
        **told,
        "days_asked": found.days,
        "days": played.get("days"),
        "waiting": to_document(waiting),
    }
