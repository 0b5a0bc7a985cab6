"""A Prometheus, a query and the addresses it may be asked at -> the body of its answer, bounded in time and size."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from seamark.core.clock import Clock
from seamark.core.errors import DeliveryFailed
from seamark.delivery.posting import origin

TIMEOUT_S = 5.0  # for each of connecting, sending and waiting; and for the whole answer
BODY_MOST = 256 * 1024


def ask(client: httpx.Client, clock: Clock, url: str, query: str, addresses: Sequence[str]) -> bytes:
    """Return the body that `url`/api/v1/query answers; DeliveryFailed where there is none.

    The connection goes to the first of `addresses` that takes one: those the URL's host had when it was looked up and
    checked, so that no later answer of a name server leads elsewhere. Redirects are not followed. 4xx with a body is
    an answer: Prometheus says there what is wrong with a query.
    """
    where = origin(url)
    told = DeliveryFailed(f"{where} has no address", permanent=False)
    for address in addresses:
        try:
            return _asked(client, clock, httpx.URL(url), query, address)
        except httpx.ConnectError:
            told = DeliveryFailed(f"{where} cannot be reached", permanent=False)
        except httpx.TimeoutException:
            raise DeliveryFailed(f"{where} did not answer within {TIMEOUT_S:g} s", permanent=False) from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            told = DeliveryFailed(f"the connection to {where} broke ({type(error).__name__})", permanent=False)
    raise told


def _asked(client: httpx.Client, clock: Clock, url: httpx.URL, query: str, address: str) -> bytes:
    where = origin(str(url))
    place = url.copy_with(host=address, path=f"{url.path.rstrip('/')}/api/v1/query")
    request = client.build_request(
        "POST",  # a query may be longer than a URL
        place,
        data={"query": query, "timeout": f"{TIMEOUT_S:g}s"},
        headers={"Host": url.netloc.decode("ascii"), "User-Agent": "seamark", "Accept-Encoding": "identity"},
        timeout=TIMEOUT_S,
        extensions={"sni_hostname": url.host},
    )
    until_s = clock.monotonic_s() + TIMEOUT_S
    answer = client.send(request, stream=True, follow_redirects=False)
    try:
        if 300 <= answer.status_code < 400:
            raise DeliveryFailed(f"{where} answered {answer.status_code}; redirects are not followed", permanent=True)
        if answer.status_code in (401, 403) or answer.status_code >= 500:
            raise DeliveryFailed(f"{where} answered {answer.status_code}", permanent=False)
        body = b""
        for part in answer.iter_raw(16 * 1024):
            body += part
            if len(body) > BODY_MOST:
                raise DeliveryFailed(f"{where} answered more than {BODY_MOST // 1024} KiB", permanent=True)
            if clock.monotonic_s() > until_s:
                raise DeliveryFailed(f"{where} did not answer within {TIMEOUT_S:g} s", permanent=False)
        return body
    finally:
        answer.close()
