"""OTLP metrics become METRIC_POINTS rows, the same through protobuf and JSON; what is hostile ends in a refusal."""

import json
import math
from datetime import UTC, datetime

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from seamark.core.errors import BodyTooLarge, InputRefused
from seamark.core.records import METRIC_POINTS
from seamark.wire import buckets, values
from seamark.wire.budget import ValueBudget
from seamark.wire.otlp import Encoding, decode_metrics

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
NOW_NS = 1_767_225_600_000_000_999
BOTH = pytest.mark.parametrize("encoding", list(Encoding))


def pairs(found):
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in found.items()]


def request(*metrics, resource=None):
    made = ExportMetricsServiceRequest()
    group = made.resource_metrics.add()
    group.resource.attributes.extend(pairs({"service.name": "churn"} if resource is None else resource))
    group.scope_metrics.add().metrics.extend(metrics)
    return made


def gauge(*points, name="queue", unit="{request}"):
    return pb.Metric(name=name, unit=unit, gauge=pb.Gauge(data_points=points))


def number(value=1.5, at=NOW_NS, **fields):
    key = "as_int" if isinstance(value, int) else "as_double"
    return pb.NumberDataPoint(**{key: value, "time_unix_nano": at, **fields})


def histogram(temporality=2, **fields):
    point = pb.HistogramDataPoint(**{"time_unix_nano": NOW_NS, **fields})
    return pb.Metric(name="h", histogram=pb.Histogram(data_points=[point], aggregation_temporality=temporality))


def exponential(**fields):
    point = pb.ExponentialHistogramDataPoint(**{"time_unix_nano": NOW_NS, **fields})
    return pb.Metric(
        name="e", exponential_histogram=pb.ExponentialHistogram(data_points=[point], aggregation_temporality=1)
    )


def summary(**fields):
    return pb.Metric(name="s", summary=pb.Summary(data_points=[pb.SummaryDataPoint(time_unix_nano=NOW_NS, **fields)]))


def to_otlp_json(message):
    """Return the message in OTLP's JSON: proto3 JSON, but enums as integers; attributes here are texts."""
    return json.dumps(MessageToDict(message, use_integers_for_enums=True)).encode()


def decode(message, encoding=Encoding.PROTOBUF):
    body = to_otlp_json(message) if encoding is Encoding.JSON else message.SerializeToString()
    return decode_metrics(body, encoding, received_at=AT)


def rows(message, encoding=Encoding.PROTOBUF):
    decoded = decode(message, encoding)
    assert not decoded.refusals
    return decoded.tables["metric_points"].to_pylist()


def refusals(message, encoding=Encoding.PROTOBUF):
    decoded = decode(message, encoding)
    assert not decoded.tables
    return [refusal.reason for refusal in decoded.refusals]


# --- each kind of metric ------------------------------------------------------------------------------------------


@BOTH
def test_a_gauge_keeps_its_value_its_attributes_and_who_sent_it(encoding):
    point = number(
        7, attributes=pairs({"seamark.model.name": "fraud", "pool": "a"}), start_time_unix_nano=NOW_NS - 10**9
    )
    resource = {"service.name": "churn", "service.version": "2", "service.instance.id": "pod-1"}
    (row,) = rows(request(gauge(point), resource=resource), encoding)
    assert (row["model"], row["version"], row["service"], row["instance"]) == ("fraud", "2", "churn", "pod-1")
    assert (row["name"], row["unit"], row["kind"], row["value"]) == ("queue", "{request}", "gauge", 7.0)
    assert (row["temporality"], row["monotonic"], row["count"], row["bounds"]) == (None, None, None, None)
    assert row["at"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert (row["at"] - row["start_at"]).total_seconds() == 1
    assert json.loads(row["attributes"])["pool"] == "a"
    assert json.loads(row["resource"]) == resource


@BOTH
@pytest.mark.parametrize("temporality, monotonic", [(1, True), (2, False)])
def test_a_sum_keeps_what_it_counts_from(encoding, temporality, monotonic):
    data = pb.Sum(data_points=[number(0)], aggregation_temporality=temporality, is_monotonic=monotonic)
    (row,) = rows(request(pb.Metric(name="n", sum=data)), encoding)
    assert (row["kind"], row["value"], row["temporality"], row["monotonic"]) == ("sum", 0.0, temporality, monotonic)
    assert (row["start_at"], row["unit"]) == (None, "")


@BOTH
def test_a_histogram_keeps_its_buckets_and_what_it_does_not_say_is_unknown(encoding):
    (row,) = rows(request(histogram(count=6, sum=9.5, bucket_counts=[1, 2, 3], explicit_bounds=[1, 5])), encoding)
    assert (row["count"], row["sum"], row["min"], row["max"]) == (6, 9.5, None, None)
    assert (row["bounds"], row["counts"], row["value"]) == ([1.0, 5.0], [1, 2, 3], None)
    (row,) = rows(request(histogram(count=6, min=0.0, max=3.0)), encoding)
    assert (row["sum"], row["min"], row["max"], row["bounds"], row["counts"]) == (None, 0.0, 3.0, None, None)


@BOTH
def test_an_exponential_histogram_has_its_bounds_worked_out(encoding):
    positive = pb.ExponentialHistogramDataPoint.Buckets(offset=1, bucket_counts=[0, 4, 5, 0])
    negative = pb.ExponentialHistogramDataPoint.Buckets(offset=-1, bucket_counts=[2])
    metric = exponential(count=14, scale=0, zero_count=3, zero_threshold=0.25, positive=positive, negative=negative)
    (row,) = rows(request(metric), encoding)
    # (-1, -0.5]: 2; (-0.25, 0.25]: 3; (4, 8]: 4; (8, 16]: 5; those between are empty
    assert row["bounds"] == [-1.0, -0.5, -0.25, 0.25, 4.0, 8.0, 16.0]
    assert row["counts"] == [0, 2, 0, 3, 0, 4, 5, 0]
    assert row["kind"] == "exponential_histogram"


@BOTH
def test_a_summary_keeps_its_quantiles_and_one_without_samples_is_unknown(encoding):
    quantile = pb.SummaryDataPoint.ValueAtQuantile
    found = [quantile(quantile=0.5, value=2.0), quantile(quantile=0.99, value=math.nan)]
    (row,) = rows(request(summary(count=9, sum=20, quantile_values=found)), encoding)
    assert (row["count"], row["sum"], row["counts"]) == (9, 20.0, None)
    assert (row["bounds"], row["quantile_values"]) == ([0.5, 0.99], [2.0, None])


@BOTH
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_unknown(encoding, value):
    assert rows(request(gauge(number(value))), encoding)[0]["value"] is None


@BOTH
def test_no_recorded_value_is_a_row_without_figures(encoding):
    ended = pb.NumberDataPoint(time_unix_nano=NOW_NS, flags=1)
    first, second = rows(request(gauge(ended), histogram(count=3, sum=1, flags=1)), encoding)
    assert (first["value"], second["count"], second["sum"]) == (None, None, None)


def test_a_metric_of_a_kind_that_is_not_known_has_no_points():
    made = request(pb.Metric(name="none"), gauge(number()))
    assert len(rows(made)) == len(rows(made, Encoding.JSON)) == 1
    assert decode_metrics(b"", Encoding.PROTOBUF, received_at=AT).rows == 0
    assert decode_metrics(b"{}", Encoding.JSON, received_at=AT).rows == 0


# --- what is refused, alone ---------------------------------------------------------------------------------------

_QUANTILE = pb.SummaryDataPoint.ValueAtQuantile(quantile=1.5)


@BOTH
@pytest.mark.parametrize(
    "metric, reason",
    [
        (gauge(number(at=0)), "time is not set"),
        (gauge(number(at=2**63)), "time 9223372036854775808 does not lie between 1970 and 2262, in nanoseconds"),
        (gauge(number(start_time_unix_nano=2**64 - 1)), "start time 18446744073709551615 does not lie"),
        (gauge(pb.NumberDataPoint(time_unix_nano=1)), "the point has no value"),
        (gauge(number(), name=""), "its metric has no name"),
        (pb.Metric(name="n", sum=pb.Sum(data_points=[number()])), "its metric 'n' says neither delta nor cumulative"),
        (histogram(temporality=0), "its metric 'h' says neither delta nor cumulative"),
        (histogram(bucket_counts=[1], explicit_bounds=[1, 2]), "2 bounds make 3 buckets, but 1 counts came"),
        (histogram(bucket_counts=[1, 1, 1], explicit_bounds=[2, 2]), "the bounds of the buckets do not rise"),
        (histogram(bucket_counts=[1, 1], explicit_bounds=[math.nan]), "a bound of the buckets is not a finite number"),
        (
            histogram(bucket_counts=[0] * 1001, explicit_bounds=range(1000)),
            "the point has 1,001 buckets; at most 1,000",
        ),
        (histogram(count=2**63), "count: 9223372036854775808 does not lie between 0 and 9223372036854775807"),
        (histogram(bucket_counts=[2**63]), "a bucket's count: 9223372036854775808 does not lie"),
        (exponential(scale=21), "scale 21 does not lie between -10 and 20"),
        (exponential(scale=-(2**31)), "scale -2147483648 does not lie between -10 and 20"),
        (exponential(zero_threshold=-1), "zero threshold -1 is not a number from 0"),
        (summary(quantile_values=[_QUANTILE]), "a quantile does not lie between 0 and 1"),
        (summary(quantile_values=[pb.SummaryDataPoint.ValueAtQuantile()] * 1001), "the point has 1,001 quantiles"),
    ],
)
def test_a_bad_point_is_refused_with_the_reason(metric, reason, encoding):
    (told,) = refusals(request(metric), encoding)
    assert told.startswith(reason)


@BOTH
def test_one_bad_point_costs_only_itself_and_is_told_by_its_place(encoding):
    decoded = decode(request(gauge(number(1), number(at=0)), gauge(number(2)), gauge(number(at=0))), encoding)
    assert [refusal.index for refusal in decoded.refusals] == [1, 3]
    assert decoded.tables["metric_points"].column("value").to_pylist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "point, reason",
    [
        ({"asInt": "1.5"}, "value: '1.5' is not a whole number"),
        ({"asInt": "9223372036854775808"}, "value: 9223372036854775808 has more than 64 bits"),
        ({"asDouble": "much"}, "value: 'much' is not a number"),
        ({"asDouble": 1, "flags": "x"}, "flags: 'x' is not a whole number"),
    ],
)
def test_words_that_are_no_numbers_are_refused_in_json(point, reason):
    metric = {"name": "n", "gauge": {"dataPoints": [{"timeUnixNano": str(NOW_NS), **point}]}}
    body = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).encode()
    (refusal,) = decode_metrics(body, Encoding.JSON, received_at=AT).refusals
    assert refusal.reason == reason


@BOTH
def test_a_request_of_too_many_points_or_buckets_is_too_large(encoding, monkeypatch):
    monkeypatch.setattr(values, "ROWS_MAX", 3)
    monkeypatch.setattr("seamark.wire.budget.ROWS_MAX", 3)
    assert decode(request(gauge(number(), number(), number())), encoding).rows == 3
    with pytest.raises(BodyTooLarge, match="holds 4 data points; at most 3"):
        decode(request(gauge(number(), number()), gauge(number(), number())), encoding)
    with pytest.raises(BodyTooLarge, match="holds 4 metrics"):
        decode(request(*[pb.Metric()] * 4), encoding)
    monkeypatch.setattr(ValueBudget.__init__, "__defaults__", (10,))
    with pytest.raises(BodyTooLarge, match="more than 10 attribute values"):
        decode(request(histogram(bucket_counts=[1] * 6, explicit_bounds=range(5))), encoding)


def test_json_of_too_many_objects_is_refused_before_they_are_built(monkeypatch):
    body = to_otlp_json(request(gauge(number(), number())))
    monkeypatch.setattr("seamark.wire.otlp_json.OBJECTS_MAX", body.count(b"{"))
    assert decode_metrics(body, Encoding.JSON, received_at=AT).rows == 2
    monkeypatch.setattr("seamark.wire.otlp_json.OBJECTS_MAX", body.count(b"{") - 1)
    with pytest.raises(BodyTooLarge, match="JSON objects; send smaller batches"):
        decode_metrics(body, Encoding.JSON, received_at=AT)


@pytest.mark.parametrize("bad", [{"asDouble": []}, {"attributes": 5}, {"timeUnixNano": {}}, None, "point"])
def test_a_json_point_that_is_not_of_its_form_costs_only_itself(bad):
    document = json.loads(to_otlp_json(request(gauge(number(), number()), gauge(number()))))
    first = document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]
    points = first["gauge"]["dataPoints"]
    points.append(points[0] | bad if isinstance(bad, dict) else bad)
    decoded = decode_metrics(json.dumps(document).encode(), Encoding.JSON, received_at=AT)
    assert decoded.rows == 3
    (refusal,) = decoded.refusals
    assert refusal.index == 2
    assert "NumberPoint in OTLP's JSON" in refusal.reason


@pytest.mark.parametrize(("bad", "points"), [({"name": 5}, 2), ({"sum": {"isMonotonic": "yes"}}, 2), (None, 1)])
def test_a_json_metric_that_is_not_of_its_form_costs_only_its_points(bad, points):
    document = json.loads(to_otlp_json(request(gauge(number(), number()), gauge(number()))))
    metrics = document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    metrics[0] = metrics[0] | bad if isinstance(bad, dict) else bad
    decoded = decode_metrics(json.dumps(document).encode(), Encoding.JSON, received_at=AT)
    assert decoded.rows == 1
    assert [refusal.index for refusal in decoded.refusals] == list(range(points))
    assert all("Metric in OTLP's JSON" in refusal.reason for refusal in decoded.refusals)


# --- exponential buckets ------------------------------------------------------------------------------------------


@given(
    st.integers(-10, 20),
    st.integers(-(2**31), 2**31 - 1),
    st.lists(st.integers(0, 5), max_size=700),
    st.integers(0, 5),
    st.floats(0, 1e6),
)
def test_exponential_buckets_are_few_rise_and_lose_no_count(scale, offset, counts, zero_count, zero_threshold):
    bounds, found = buckets.exponential(scale, zero_count, zero_threshold, (offset, counts), (-offset - 1, counts))
    assert len(found) == len(bounds) + 1 <= 2 * buckets.EXPONENTIAL_BUCKETS_MAX + 5
    assert sum(found) == 2 * sum(counts) + zero_count
    assert all(map(math.isfinite, bounds))
    assert bounds == sorted(set(bounds))


def test_too_fine_buckets_are_merged_to_coarser_ones_of_the_same_edges():
    bounds, counts = buckets.exponential(3, 0, 0.0, (0, [1] * 320), (0, []))
    assert len(counts) == buckets.EXPONENTIAL_BUCKETS_MAX + 3
    assert (bounds[:3], counts[:4]) == ([0.0, 1.0, 2**0.25], [0, 0, 2, 2])
    assert bounds[-1] == 2.0**40


# --- the two encodings say the same -------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
nanos = st.one_of(st.just(0), st.integers(0, 2**64 - 1), st.integers(NOW_NS, NOW_NS + 10**10))
doubles = st.floats(width=64)
counts = st.one_of(st.integers(0, 9), st.integers(0, 2**64 - 1))
maps = st.dictionaries(st.one_of(texts, st.sampled_from(["service.name", "seamark.model.name"])), texts, max_size=3)


@st.composite
def common(draw):
    return {
        "time_unix_nano": draw(nanos),
        "start_time_unix_nano": draw(nanos),
        "attributes": pairs(draw(maps)),
        "flags": draw(st.integers(0, 3)),
    }


@st.composite
def distribution(draw):
    optional = {name: draw(doubles) for name in ("sum", "min", "max") if draw(st.booleans())}
    return {**draw(common()), **optional, "count": draw(counts)}


@st.composite
def sides(draw):
    offset = draw(st.integers(-(2**31), 2**31 - 1))
    return pb.ExponentialHistogramDataPoint.Buckets(offset=offset, bucket_counts=draw(st.lists(counts, max_size=4)))


@st.composite
def metrics(draw):
    made = pb.Metric(name=draw(texts), unit=draw(texts))
    kind = draw(st.sampled_from(["gauge", "sum", "histogram", "exponential_histogram", "summary"]))
    holder = getattr(made, kind)
    holder.SetInParent()
    if kind not in ("gauge", "summary"):
        holder.aggregation_temporality = draw(st.integers(0, 2))
    for _ in range(draw(st.integers(0, 2))):
        if kind in ("gauge", "sum"):
            value = draw(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), doubles))
            fields = {} if value is None else {"as_int" if isinstance(value, int) else "as_double": value}
            holder.data_points.add(**draw(common()), **fields)
        elif kind == "histogram":
            lists = {
                "bucket_counts": draw(st.lists(counts, max_size=3)),
                "explicit_bounds": draw(st.lists(doubles, max_size=2)),
            }
            holder.data_points.add(**draw(distribution()), **lists)
        elif kind == "exponential_histogram":
            holder.data_points.add(
                **draw(distribution()),
                scale=draw(st.integers(-12, 22)),
                zero_count=draw(counts),
                zero_threshold=draw(doubles),
                positive=draw(sides()),
                negative=draw(sides()),
            )
        else:
            quantile = st.builds(pb.SummaryDataPoint.ValueAtQuantile, quantile=st.floats(0, 1), value=doubles)
            fields = {
                "count": draw(counts),
                "sum": draw(doubles),
                "quantile_values": draw(st.lists(quantile, max_size=2)),
            }
            holder.data_points.add(**draw(common()), **fields)
    return made


@pytest.mark.slow
@given(st.lists(metrics(), max_size=4), maps)
def test_a_message_gives_the_same_rows_through_protobuf_and_json(found, resource):
    message = request(*found, resource=resource)
    through_protobuf, through_json = decode(message), decode(message, Encoding.JSON)
    assert through_protobuf.refusals == through_json.refusals
    assert through_protobuf.tables.keys() == through_json.tables.keys()
    points = sum(len(getattr(metric, metric.WhichOneof("data")).data_points) for metric in found)
    assert through_protobuf.rows + len(through_protobuf.refusals) == points
    for name, table in through_protobuf.tables.items():
        table.validate(full=True)
        assert table.equals(through_json.tables[name])
        assert table.schema.equals(METRIC_POINTS)


@given(st.binary(max_size=300), st.sampled_from(list(Encoding)))
def test_random_bytes_are_decoded_or_refused(body, encoding):
    try:
        decode_metrics(body, encoding, received_at=AT)
    except InputRefused:
        pass


def test_what_the_stock_sdk_sends_becomes_rows():
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
    from opentelemetry.sdk.resources import Resource

    reader = InMemoryMetricReader()
    views = [View(instrument_name="fine", aggregation=ExponentialBucketHistogramAggregation())]
    provider = MeterProvider([reader], Resource.create({"service.name": "stock"}), views=views)
    meter = provider.get_meter("t")
    meter.create_counter("answers").add(3, {"code": 200})
    meter.create_up_down_counter("queue").add(-2)
    meter.create_histogram("took", unit="s").record(0.3)
    for value in (0.5, 3.0, 3.0):
        meter.create_histogram("fine").record(value)
    found = {row["name"]: row for row in rows(encode_metrics(reader.get_metrics_data()))}
    assert {row["model"] for row in found.values()} == {"stock"}
    assert (found["answers"]["value"], found["answers"]["monotonic"], found["queue"]["value"]) == (3.0, True, -2.0)
    assert (found["took"]["unit"], found["took"]["count"], sum(found["took"]["counts"])) == ("s", 1, 1)
    fine = found["fine"]
    assert (fine["count"], fine["min"], fine["max"], sum(fine["counts"])) == (3, 0.5, 3.0, 3)
    below_half = next(index for index, bound in enumerate(fine["bounds"]) if bound >= 0.5)
    assert fine["counts"][below_half] == 1
