"""A span that comes again soon is not stored again; of one that comes late the lake says that it may be there twice."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from tests.empty_stores import put_lake
from tests.lake_rows import AT, spans

from seamark.core.errors import StoreUnavailable
from seamark.core.records import SPANS
from seamark.core.windows import Window
from seamark.store.lakes import open_ducklake as open_lake
from seamark.store.repeats import HOURS_MAX, KEPT_S, RATE_MAX, RecentSpans, hashes_of, trace_key, trace_keys
from seamark.store.spans import arrivals, slo_counts

HOUR = Window(AT - timedelta(minutes=30), AT + timedelta(minutes=30))


@pytest.fixture
def lake(tmp_path):
    opened = put_lake(tmp_path)
    yield opened
    opened.close()


def counted(lake):
    (slo,) = slo_counts(lake, "churn", HOUR.end, [3600.0], None)
    assert arrivals(lake, "churn", HOUR, 3600.0)[0] * 3600 == pytest.approx(slo.total)
    return slo.total


def rows(lake):
    return lake.query("SELECT count(*) AS n FROM lake.spans")["n"][0].as_py()


def test_what_was_remembered_is_no_more_new_and_a_double_in_one_batch_is_new_once():
    recent = RecentSpans(buckets=16)
    hashes = hashes_of(spans(40))
    assert recent.first_seen(np.concatenate([hashes, hashes])).tolist() == [True] * 40 + [False] * 40
    recent.remember(hashes[:20])
    assert recent.first_seen(hashes).tolist() == [False] * 20 + [True] * 20


def test_the_oldest_make_room():
    recent = RecentSpans(buckets=16)
    for first in range(0, 1_000, 100):
        recent.remember(hashes_of(spans(100, first=first)))
    assert recent.first_seen(hashes_of(spans(100))).mean() > 0.9
    assert recent.first_seen(hashes_of(spans(20, first=980))).mean() < 0.1


def test_hashes_are_of_both_ids_and_no_matter_how_the_columns_lie():
    one = spans(64)
    assert len(set(hashes_of(one).tolist())) == 64
    assert hashes_of(pa.concat_tables([one.slice(0, 10), one.slice(10)])).tolist() == hashes_of(one).tolist()
    assert hashes_of(one.slice(7, 3)).tolist() == hashes_of(one)[7:10].tolist()
    swapped = one.set_column(0, SPANS.field("trace_id"), pa.array(one["trace_id"].to_pylist()[::-1], pa.binary()))
    assert not set(hashes_of(one).tolist()) & set(hashes_of(swapped).tolist())
    odd = one.slice(0, 2).set_column(0, SPANS.field("trace_id"), pa.array([b"short", b"much longer than sixteen"]))
    assert len(set(hashes_of(odd).tolist())) == 2


def test_a_trace_has_one_key_however_it_is_made():
    ids = [bytes(range(n, n + 16)) for n in range(0, 240, 16)] + [b"\xff" * 16, b"\0" * 15 + b"\1"]
    found = trace_keys(pa.chunked_array([pa.array(ids, pa.binary())])).to_pylist()
    assert found == [trace_key(one) for one in ids]
    assert min(found) >= 0


def test_a_repeat_is_not_stored_whether_it_comes_in_the_same_batch_or_the_next(lake):
    assert lake.append({"spans": pa.concat_tables([spans(5), spans(2)])})["spans"].num_rows == 5
    assert lake.append({"spans": spans(8)})["spans"].num_rows == 3
    assert lake.append({"spans": spans(8)}) == {}
    assert (rows(lake), counted(lake)) == (8, 8)
    assert not lake.may_repeat(HOUR.start, HOUR.end)


def test_what_failed_to_be_stored_is_not_taken_for_a_repeat(lake, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr("seamark.store.local_lake.write_durably", lambda *_: (_ for _ in ()).throw(OSError("no space")))
        with pytest.raises(StoreUnavailable, match="no space"):
            lake.append({"spans": spans(3)})
    assert lake.append({"spans": spans(3)})["spans"].num_rows == 3


def test_a_late_repeat_is_stored_and_read_once(tmp_path):
    late = {"received_at": AT + timedelta(minutes=20)}
    first = put_lake(tmp_path)
    first.append({"spans": spans(4)})
    first._recent = RecentSpans()  # as after an hour of other spans
    first.append({"spans": spans(3, **late)})
    assert (rows(first), counted(first)) == (7, 4)
    assert first.may_repeat(HOUR.start, HOUR.end)
    assert not first.may_repeat(HOUR.start - timedelta(days=2), HOUR.start - timedelta(days=1))
    first.close()
    second = open_lake(data_dir=tmp_path, catalog_url="sqlite://")
    assert counted(second) == 4
    second.close()


def test_a_restart_forgets_nothing_that_counts(tmp_path):
    first = put_lake(tmp_path)
    first.append({"spans": spans(6)})
    first.close()
    second = open_lake(data_dir=tmp_path, catalog_url="sqlite://")
    assert second.append({"spans": spans(7)})["spans"].num_rows == 1
    assert (rows(second), counted(second)) == (7, 7)
    second.close()


@pytest.mark.parametrize("skew_s, may_repeat", [(-30, False), (4, False), (10, True), (-90, True)])
def test_late_and_early_are_told_by_the_clock_of_arrival(lake, skew_s, may_repeat):
    lake.append({"spans": spans(1, start_at=AT + timedelta(seconds=skew_s))})
    assert lake.may_repeat(AT - timedelta(hours=1), AT + timedelta(hours=1)) is may_repeat


def test_a_commit_whose_end_is_unknown_makes_its_hours_doubtful(lake, monkeypatch):
    store = lake._store

    def stored_but(rows):
        store(rows)
        raise StoreUnavailable("the connection was lost")

    with monkeypatch.context() as broken:
        broken.setattr(lake, "_store", stored_but)
        with pytest.raises(StoreUnavailable):
            lake.append({"spans": spans(5)})
    lake.append({"spans": spans(5)})
    assert (rows(lake), counted(lake)) == (10, 5)


def test_hashes_are_kept_as_long_as_it_says_at_the_rate_it_says():
    recent = RecentSpans(buckets=2**10)
    share = 2**20 // 2**10
    rng = np.random.default_rng(5)
    first = rng.integers(1, 2**63, round(KEPT_S * RATE_MAX / share), dtype=np.uint64)
    for part in np.array_split(first, 20):
        recent.remember(part)
    assert recent.first_seen(first).mean() < 1e-3


def test_more_spans_than_can_be_known_may_be_repeats(lake, monkeypatch):
    monkeypatch.setattr("seamark.store.repeats.RATE_MAX", 1)
    lake.append({"spans": spans(60)})
    assert not lake.may_repeat(HOUR.start, HOUR.end)
    lake.append({"spans": spans(60, first=60)})
    assert lake.may_repeat(HOUR.start, HOUR.end)


def test_more_late_hours_than_can_be_remembered_may_be_any():
    recent = RecentSpans(buckets=16)
    recent.note_hours(range(HOURS_MAX))
    assert not recent.may_repeat(AT, AT + timedelta(hours=1))
    recent.note_hours([HOURS_MAX + 1])
    assert recent.may_repeat(AT, AT + timedelta(hours=1))
