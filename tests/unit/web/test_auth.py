"""Who may do what: open access, keys and scopes, keys bound to a model, revocation, and the browser's login."""

from __future__ import annotations

import dataclasses
import threading
from datetime import timedelta
from typing import Any

import pytest
from fastapi import Depends, FastAPI

from seamark.core.errors import NotPermitted, StoreUnavailable
from seamark.core.keys import RANDOM_BYTES, SCOPES, allows, new_key
from seamark.store.catalog.keys import KeyRecord
from seamark.web.auth import CACHE_MAX, CACHE_S, COOKIE, Gate, Principal, local_path, require
from seamark.web.keys import router as keys_router


def add_key(services: Any, scope: str, model: str | None = None, seed: int = 1) -> str:
    made = new_key(scope, bytes([seed]) * RANDOM_BYTES)
    services.catalog.keys.add(KeyRecord(made.key_id, made.hash, scope, model, services.clock.now(), None))
    return made.plain


@pytest.fixture(autouse=True)
def doors(app: FastAPI) -> None:
    for needed in SCOPES:
        needs = Depends(require(needed))

        def door(who: Principal = needs) -> dict[str, Any]:
            return dataclasses.asdict(who)

        app.add_api_route(f"/api/{needed}", door, methods=["GET", "POST"])
    app.add_api_route("/models", lambda: {"page": True}, methods=["GET"], dependencies=[Depends(require("read"))])


def test_without_any_key_open_access_is_admin(ask) -> None:
    for needed in SCOPES:
        assert ask("GET", f"/api/{needed}").json() == {"scope": "admin", "key_id": None, "model": None}


def test_without_any_key_closed_access_asks_for_one(ask, services) -> None:
    services.open_access = False
    answer = ask("GET", "/api/read")
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "Authorization: Bearer" in answer.json()["detail"]


@pytest.mark.parametrize("held", SCOPES)
@pytest.mark.parametrize("needed", SCOPES)
def test_a_scope_opens_what_it_includes(ask, services, held: str, needed: str) -> None:
    plain = add_key(services, held)
    answer = ask("POST", f"/api/{needed}", headers={"Authorization": f"Bearer {plain}"})
    if allows(held, needed):
        assert answer.status_code == 200 and answer.json()["scope"] == held
    else:
        assert answer.status_code == 403
        assert f"of scope {needed}" in answer.json()["detail"] and f"has scope {held}" in answer.json()["detail"]


def test_each_way_to_send_a_key(ask, services) -> None:
    plain = add_key(services, "read")
    ways = [
        {"Authorization": f"Bearer {plain}"},
        {"Authorization": f"bearer  {plain} "},
        {"X-API-Key": plain},
        {"Cookie": f"{COOKIE}={plain}"},
        {"Authorization": "Basic eDp5", "X-API-Key": plain},
    ]
    assert [ask("GET", "/api/read", headers=way).status_code for way in ways] == [200] * len(ways)


@pytest.mark.parametrize(
    "bad", ["", "x", "smk_bbbbbbbb_" + "A" * 43, "smk_aeaqcaib_" + "A" * 43, "%00\udcff", "smk_" + "a" * 5000]
)
def test_a_key_that_is_none_is_refused_and_not_told(ask, services, bad: str) -> None:
    add_key(services, "admin")
    answer = ask("GET", "/api/read", headers={b"X-API-Key": bad.encode("utf-8", "surrogateescape")})
    assert answer.status_code == 401 and (not bad or bad not in answer.text or bad == "x")


def test_a_wrong_bearer_does_not_fall_back_to_a_good_cookie(ask, services) -> None:
    plain = add_key(services, "read")
    headers = {"Authorization": "Bearer wrong", "Cookie": f"{COOKIE}={plain}"}
    assert ask("GET", "/api/read", headers=headers).status_code == 401


def test_a_revoked_key_ends_within_the_cache_time(ask, services) -> None:
    plain = add_key(services, "read")
    headers = {"X-API-Key": plain}
    first = ask("GET", "/api/read", headers=headers)
    assert first.status_code == 200
    services.catalog.keys.revoke(first.json()["key_id"], services.clock.now())
    services.clock.advance(CACHE_S)
    answer = ask("GET", "/api/read", headers=headers)
    assert answer.status_code == 401 and "was revoked" in answer.json()["detail"]


def test_the_first_key_closes_open_access_and_its_revocation_does_not_open_it(ask, services) -> None:
    assert ask("GET", "/api/read").status_code == 200
    plain = add_key(services, "admin")
    services.clock.advance(CACHE_S)
    assert ask("GET", "/api/read").status_code == 401
    key_id = ask("GET", "/api/read", headers={"X-API-Key": plain}).json()["key_id"]
    services.catalog.keys.revoke(key_id, services.clock.now())
    services.clock.advance(CACHE_S)
    assert ask("GET", "/api/read").status_code == 401


def test_a_key_bound_to_a_model_touches_only_that(ask, services) -> None:
    plain = add_key(services, "ingest", model="churn")
    assert ask("GET", "/api/ingest", headers={"X-API-Key": plain}).json()["model"] == "churn"
    bound = Principal("ingest", "k", "churn")
    assert bound.may_touch("churn") and not bound.may_touch("fraud")
    bound.check_model("churn")
    with pytest.raises(NotPermitted, match="bound to model 'churn'; it may not touch 'fraud'"):
        bound.check_model("fraud")
    Principal("ingest").check_model("fraud")


def test_a_bound_admin_key_cannot_do_what_concerns_all_models(ask, services) -> None:
    plain = add_key(services, "admin", model="churn")
    assert ask("GET", "/api/run", headers={"X-API-Key": plain}).status_code == 200
    answer = ask("GET", "/api/admin", headers={"X-API-Key": plain})
    assert answer.status_code == 403 and "bound to model" in answer.json()["detail"]


class Counting:
    """The catalog's keys, with reads counted and an outage that can be switched on."""

    def __init__(self, keys: Any) -> None:
        self.keys, self.reads, self.down = keys, 0, False

    def any(self) -> bool:
        return self._read(self.keys.any)

    def by_id(self, key_id: str) -> KeyRecord | None:
        return self._read(self.keys.by_id, key_id)

    def _read(self, read: Any, *arguments: str) -> Any:
        self.reads += 1
        if self.down:
            raise StoreUnavailable("the catalog does not answer")
        return read(*arguments)


@pytest.mark.slow
def test_reads_are_cached_and_the_cache_is_bounded(services) -> None:
    plain = add_key(services, "read")
    source = Counting(services.catalog.keys)
    gate = Gate(source, services.clock, open_access=True)
    assert not gate.fresh(plain)
    for _ in range(100):
        gate.principal(plain, "read")
    assert source.reads == 2 and gate.fresh(plain)
    for number in range(CACHE_MAX + 50):
        stranger = new_key("read", number.to_bytes(RANDOM_BYTES, "little")).plain
        with pytest.raises(Exception, match="not known"):
            gate.principal(stranger, "read")
    assert len(gate._known) == CACHE_MAX
    services.clock.advance(CACHE_S)
    assert not gate.fresh(plain)


def test_an_unreadable_catalog_opens_nothing(services) -> None:
    plain = add_key(services, "read")
    source = Counting(services.catalog.keys)
    source.down = True
    for open_access in (True, False):
        with pytest.raises(StoreUnavailable):
            Gate(source, services.clock, open_access=open_access).principal(plain, "read")


def test_the_gate_may_be_asked_from_many_threads(services) -> None:
    plain = add_key(services, "read")
    gate = Gate(services.catalog.keys, services.clock, open_access=True)
    found: list[str] = []

    def work() -> None:
        for _ in range(50):
            found.append(gate.principal(plain, "read").scope)
            services.clock.advance(0.1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["read"] * 200


def test_requiring_an_unknown_scope_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="not a scope"):
        require("write")


# --- the browser -------------------------------------------------------------------------------------------------


def test_a_page_leads_to_the_login_and_back(ask, services) -> None:
    plain = add_key(services, "read")
    page = ask("GET", "/models?a=1&b=2", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["Location"]) == (303, "/login?next=/models%3Fa%3D1%26b%3D2")
    form = ask("GET", page.headers["Location"])
    assert form.status_code == 200 and 'value="/models?a=1&amp;b=2"' in form.text
    assert "frame-ancestors 'none'" in form.headers["Content-Security-Policy"]
    done = ask("POST", "/login", data={"key": f" {plain} ", "next": "/models?a=1&b=2"})
    assert (done.status_code, done.headers["Location"]) == (303, "/models?a=1&b=2")
    cookie = done.headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}={plain};") and "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert ask("GET", "/models", headers={"Cookie": f"{COOKIE}={plain}"}).status_code == 200


def test_over_https_the_cookie_is_secure(ask, services) -> None:
    plain = add_key(services, "read")
    direct = ask("POST", "/login", data={"key": plain}, base_url="https://seamark.example")
    headers = {"Origin": "https://seamark.example", "Host": "127.0.0.1:8000"}
    behind_a_proxy = ask("POST", "/login", data={"key": plain}, headers=headers)
    assert "Secure" in direct.headers["Set-Cookie"] and "Secure" in behind_a_proxy.headers["Set-Cookie"]


@pytest.mark.parametrize("scope, status, word", [("ingest", 403, "scope ingest"), (None, 401, "not known")])
def test_a_key_that_will_not_do_sets_no_cookie(ask, services, scope: str | None, status: int, word: str) -> None:
    plain = add_key(services, scope or "read")
    key = plain if scope else "smk_bbbbbbbb_" + "A" * 43
    answer = ask("POST", "/login", data={"key": key, "next": '"><script>alert(1)</script>'})
    assert answer.status_code == status and word in answer.text
    assert "Set-Cookie" not in answer.headers and "<script>" not in answer.text and key not in answer.text


def test_the_login_leads_nowhere_else(ask, services) -> None:
    plain = add_key(services, "read")
    for there in ("//evil.test", "https://evil.test", "/\\evil.test", "/a\r\nX: 1", "javascript:alert(1)", "/é", ""):
        answer = ask("POST", "/login", data={"key": plain, "next": there})
        assert answer.headers["Location"] == "/", there
        assert local_path(there) == "/"


def test_without_keys_there_is_nothing_to_log_in_to(ask) -> None:
    answer = ask("GET", "/login?next=/models")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/models")
    answer = ask("POST", "/login", data={"key": "anything\r\nX: 1"})
    assert answer.status_code == 303 and "Set-Cookie" not in answer.headers


def test_logging_out_forgets_the_key(ask) -> None:
    answer = ask("POST", "/logout")
    assert answer.headers["Location"] == "/login"
    assert f'{COOKIE}=""' in answer.headers["Set-Cookie"] and "Max-Age=0" in answer.headers["Set-Cookie"]


def test_forms_are_bounded(ask, services) -> None:
    add_key(services, "read")
    assert ask("POST", "/login", content=b"key=" + b"x" * 10_000).status_code == 413
    assert ask("POST", "/login", content=b"&".join(b"%d=1" % n for n in range(50))).status_code == 422
    assert ask("POST", "/login", content=b"\xff\xfe%00=&key").status_code == 401


def test_login_of_another_site_is_refused(ask, services) -> None:
    plain = add_key(services, "read")
    answer = ask("POST", "/login", data={"key": plain}, headers={"Origin": "https://evil.test"})
    assert answer.status_code == 403 and "Set-Cookie" not in answer.headers


def test_an_old_cookie_is_refused_after_the_clock_moves(ask, services) -> None:
    plain = add_key(services, "read")
    services.clock.advance(timedelta(days=400).total_seconds())
    assert ask("GET", "/models", headers={"Cookie": f"{COOKIE}={plain}"}).status_code == 200  # keys end by revocation


@pytest.mark.parametrize("asked", [{"scope": "run"}, {"scope": "read"}, {"scope": "admin", "model": "churn"}])
def test_the_first_key_of_all_is_an_admins_so_that_nobody_is_locked_out(
    app: FastAPI, ask, services, asked: dict[str, str]
) -> None:
    app.include_router(keys_router())
    refused = ask("POST", "/api/v1/keys", json=asked)
    assert refused.status_code == 409, refused.text
    assert "make an admin key first: seamark keys create --scope admin" in refused.json()["detail"]
    assert not services.catalog.keys.any()
    assert ask("GET", "/api/admin").json()["scope"] == "admin", "the service is as open as before"
    admin = ask("POST", "/api/v1/keys", json={"scope": "admin"}).json()["key"]
    services.clock.advance(CACHE_S + 1)
    made = ask("POST", "/api/v1/keys", json=asked, headers={"X-API-Key": admin})
    assert made.status_code == 201, made.text
