"""Bodies are unpacked within their limit, and a body that was stored is answered again without being stored again."""

import asyncio
import gzip
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from seamark.core.errors import BodyTooLarge, BufferFull, InputRefused, StoreUnavailable, WrongMediaType
from seamark.web.bodies import InFlight, body_of, inflate, media_type_of, read_body
from seamark.web.recent import RecentBodies

NOISE = os.urandom(200_000)


def request(*parts, ends=True, **headers):
    queue = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    queue.append({"type": "http.request", "body": b""} if ends else {"type": "http.disconnect"})

    async def receive():
        return queue.pop(0)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": named}, receive)


def read(*parts, limit=1_000_000, **options):
    return asyncio.run(read_body(request(*parts, **options), limit))


def test_plain_and_packed_bodies_say_the_same():
    assert read(b"ab", b"", b"c") == b"abc"
    assert read(b"abc", content_encoding="identity") == b"abc"
    packed = gzip.compress(NOISE)
    assert read(packed[:70_000], packed[70_000:], content_encoding="gzip") == NOISE
    assert read(gzip.compress(b"a") + gzip.compress(b"b"), content_encoding="X-GZIP") == b"ab"


@pytest.mark.parametrize("size", [0, 1, 65_536, 199_999, 200_000])
def test_the_limit_is_exact_before_and_after_unpacking(size):
    body = b"a" * size
    assert read(body, limit=size) == body
    assert inflate(gzip.compress(body), max(size, 1)) == body
    with pytest.raises(BodyTooLarge):
        read(body + b"a", limit=size)
    with pytest.raises(BodyTooLarge):
        inflate(gzip.compress(body + b"ab"), max(size, 1))


def test_a_declared_length_over_the_limit_is_refused_before_a_byte_is_read():
    with pytest.raises(BodyTooLarge):
        read(ends=False, content_length="2000001", limit=2_000_000)
    with pytest.raises(InputRefused, match="not a number"):
        read(content_length="-5")


def test_a_bomb_costs_no_more_than_its_limit():
    bomb = gzip.compress(b"\0" * 20_000_000)
    with pytest.raises(BodyTooLarge, match="1,000,000 bytes"):
        read(bomb, content_encoding="gzip")
    with pytest.raises(InputRefused, match="more than 1,000 members"):
        inflate(gzip.compress(b"") * 5_000, 10)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"no gzip at all, not even nearly",
        gzip.compress(NOISE)[:-1],
        gzip.compress(NOISE)[:100],
        gzip.compress(b"a") + b"junk after the end of it",
        gzip.compress(b"abc")[:-8] + bytes(8),
    ],
    ids=["empty", "no gzip", "one byte short", "cut off", "more after the end", "wrong checksum"],
)
def test_damaged_gzip_is_refused(packed):
    with pytest.raises(InputRefused, match="gzip") as caught:
        read(packed, content_encoding="gzip")
    assert caught.value.status == 400


@given(st.binary(max_size=200), st.integers(0, 120), st.integers(0, 255))
def test_any_damage_is_refused_or_harmless(body, place, byte):
    packed = bytearray(gzip.compress(body, mtime=0))
    packed[place % len(packed)] = byte
    try:
        assert len(inflate(bytes(packed), 1_000)) <= 1_000
    except InputRefused:
        pass


def test_unknown_encodings_and_senders_that_go_away_are_refused():
    with pytest.raises(WrongMediaType, match="'br' is not read here; send gzip"):
        read(b"abc", content_encoding="br")
    with pytest.raises(WrongMediaType):
        read(b"abc", content_encoding="gzip, gzip")
    with pytest.raises(InputRefused, match="went away"):
        read(b"abc", ends=False)


def test_a_body_that_does_not_arrive_is_given_up(monkeypatch):
    monkeypatch.setattr("seamark.web.bodies.ARRIVAL_S", 0.01)

    async def never():
        await asyncio.Event().wait()

    with pytest.raises(InputRefused, match="did not arrive"):
        asyncio.run(read_body(Request({"type": "http", "method": "POST", "headers": []}, never), 10))


def test_bytes_in_flight_are_bounded_and_given_back():
    room = InFlight(10)

    async def hold():
        async with body_of(request(b"123456"), 10, room) as body:
            assert (body, room.held) == (b"123456", 6)
            with pytest.raises(BufferFull):
                async with body_of(request(b"12345"), 10, room):
                    pass
            assert room.held == 6

    asyncio.run(hold())
    assert room.held == 0


def test_media_type_has_no_parameters():
    assert media_type_of(request(content_type="Application/JSON; charset=utf-8")) == "application/json"
    assert media_type_of(request()) == ""


class Store:
    """Counts its calls; fails the first `failures` of them; each waits for `gate`."""

    def __init__(self, failures=0):
        self.calls = 0
        self.failures = failures
        self.gate = asyncio.Event()

    async def __call__(self):
        self.calls += 1
        call = self.calls
        await self.gate.wait()
        if call <= self.failures:
            raise StoreUnavailable("no")
        return b"answer %d" % call


def test_a_stored_body_is_answered_again_until_it_is_old_or_pushed_out():
    async def run():
        recent, store = RecentBodies(answers_max=2, keep_s=10), Store()
        store.gate.set()
        assert [await recent.once("a", at, store) for at in (0, 5, 10)] == [b"answer 1"] * 3
        assert await recent.once("a", 10.1, store) == b"answer 2"
        for key in ("b", "c"):
            await recent.once(key, 11, store)
        assert await recent.once("a", 11, store) == b"answer 5"

    asyncio.run(run())


def test_who_comes_at_the_same_time_waits_and_a_failure_is_not_remembered():
    async def run():
        recent, store = RecentBodies(), Store(failures=1)
        tasks = [asyncio.create_task(recent.once("a", 0, store)) for _ in range(5)]
        await asyncio.sleep(0)
        assert store.calls == 1
        store.gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [StoreUnavailable, bytes, bytes, bytes, bytes]
        assert store.calls == 2

    asyncio.run(run())


def test_a_sender_that_is_cancelled_leaves_the_next_one_its_turn():
    async def run():
        recent, store = RecentBodies(), Store()
        first = asyncio.create_task(recent.once("a", 0, store))
        second = asyncio.create_task(recent.once("a", 0, store))
        await asyncio.sleep(0)
        first.cancel()
        store.gate.set()
        assert await second == b"answer 2"

    asyncio.run(run())
