"""seamark.yaml becomes a Config; every mistake is told at once, with its line."""

import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.core.errors import ConfigInvalid, Invalid, Problem
from seamark.core.specs import (
    AutoscaleSpec,
    ChannelSpec,
    Config,
    DriftSpec,
    Known,
    MetricInput,
    ModelSpec,
    PerformanceSpec,
    PrometheusInput,
    SloSpec,
    StepLimit,
)
from seamark.core.thresholds import parse_threshold
from seamark.wire.config import parse_config, parse_plan
from seamark.wire.yaml_tree import read_yaml


def needs(*names):
    def check(params):
        problems = [Problem(name, "is missing") for name in names if name not in params]
        return problems + [Problem(name, "is not known") for name in params if name not in names]

    return check


KNOWN = Known(
    drift_methods=frozenset({"ks", "psi"}),
    shapes={"constant": needs("rate_rps", "duration_s"), "stages": needs("stages"), "capacity": needs("start_rps")},
    channels=frozenset({"webhook", "alertmanager"}),
    scenarios=frozenset({"http_json"}),
)

WHOLE = """\
models:
  - name: churn
    slo: {latency: "p99(latency_ms) < 300", availability: 0.999, over: 30d}
    drift: {window: 1h, false_alarms: 0.001, rows_min: 50, methods: {age: psi}}
    autoscale: {min: 1, max: 20, cost_per_replica_hour: 0.45, cold_start_s: auto}
loadtests:
  - name: churn-nightly
    model: churn
    target: http://127.0.0.1:8080/predict
    payload: {replay: 1h}
    shape: {capacity: {start_rps: 10}}
    thresholds: ["p99(latency_ms) < 300", "error_ratio < 0.01"]
    abort: ["error_ratio > 0.5 for 10s"]
    schedule: "0 3 * * *"
    timezone: Europe/Berlin
    replicas: 2
    timeout_s: 5
targets:
  allow: ["http://127.0.0.1:8080"]
alerts:
  channels:
    - {name: oncall, alertmanager: http://127.0.0.1:9093}
    - {name: chat, webhook: https://example.test/hook?x=1}
"""


def problems(text):
    with pytest.raises(ConfigInvalid) as caught:
        parse_config(textwrap.dedent(text), KNOWN)
    return [(p.line, p.field, p.message) for p in caught.value.problems]


def test_the_whole_file():
    config = parse_config(WHOLE, KNOWN)
    assert config.models == (
        ModelSpec(
            "churn",
            SloSpec(30 * 86_400.0, parse_threshold("p99(latency_ms) < 300"), 0.999),
            DriftSpec(3_600.0, 0.001, 50, {"age": "psi"}),
            AutoscaleSpec(1, 20, 0.45, None),
        ),
    )
    (plan,) = config.loadtests
    assert (plan.name, plan.model, plan.target) == ("churn-nightly", "churn", "http://127.0.0.1:8080/predict")
    assert (plan.payload.kind, plan.payload.replay_s) == ("replay", 3_600.0)
    assert (plan.shape.kind, plan.shape.params) == ("capacity", {"start_rps": 10})
    assert [str(t) for t in plan.thresholds] == ["p99(latency_ms) < 300", "error_ratio < 0.01"]
    assert plan.abort[0].hold_s == 10
    assert (plan.schedule, plan.timezone, plan.replicas, plan.timeout_s) == ("0 3 * * *", "Europe/Berlin", 2, 5.0)
    assert plan.document["shape"] == {"capacity": {"start_rps": 10}}
    assert plan.document["thresholds"] == ["p99(latency_ms) < 300", "error_ratio < 0.01"]
    assert config.targets_allow == ("http://127.0.0.1:8080",)
    assert config.channels == (
        ChannelSpec("oncall", "alertmanager", "http://127.0.0.1:9093"),
        ChannelSpec("chat", "webhook", "https://example.test/hook?x=1"),
    )
    assert parse_plan(plan.document, plan.name, KNOWN, config.targets_allow, {"churn"}) == plan


def test_the_documented_example_parses():
    page = (Path(__file__).parents[3] / "docs" / "seamark-yaml.md").read_text()
    text = page.split("```yaml\n")[1].split("```")[0]
    known = Known(frozenset({"wasserstein"}), {"capacity": lambda params: []}, KNOWN.channels, frozenset({"http_json"}))
    assert parse_config(text, known).loadtests


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_a_mistake(text):
    with pytest.raises(ConfigInvalid) as refused:
        parse_config(text, KNOWN)
    assert "empty" in str(refused.value)


@pytest.mark.parametrize("text", ["{}", "models: []\n", "models:\n", "targets: {}"])
def test_an_empty_list_asks_for_nothing(text):
    assert parse_config(text, KNOWN) == Config()


def test_defaults():
    config = parse_config("models: [{name: m, slo: {availability: 0.99}, drift: {}, autoscale: {min: 30}}]", KNOWN)
    assert config.models == (ModelSpec("m", SloSpec(30 * 86_400.0, None, 0.99), DriftSpec(), AutoscaleSpec(30, 30)),)


def test_performance_is_watched_by_default_and_its_positive_class_is_told_apart_like_others():
    one = "models: [{name: m, performance: {window: 6h, positive: %s}}]"
    for written, meant in (
        ("fraud", "fraud"),
        ("1", "1"),
        ("1.0", "1"),
        ("true", "1"),
        ("'True'", "1"),
        ("'yes'", "yes"),
    ):
        (model,) = parse_config(one % written, KNOWN).models
        assert model.performance == PerformanceSpec(6 * 3600.0, meant)
    (model,) = parse_config("models: [{name: m}]", KNOWN).models
    assert model.performance == PerformanceSpec(3600.0, None)
    found = problems("models:\n  - name: m\n    performance: {window: 1s, positive: [a], negative: b}\n")
    assert [(line, field) for line, field, _ in found] == [
        (3, "models[0].performance.negative"),
        (3, "models[0].performance.window"),
        (3, "models[0].performance.positive"),
    ]


def test_kinds_and_whole_rows_of_a_drift_monitor():
    drift = parse_config("models: [{name: m, drift: {kinds: {a: text, 7: categorical}, multivariate: true}}]", KNOWN)
    assert drift.models[0].drift == DriftSpec(kinds={"a": "text", "7": "categorical"}, multivariate=True)
    found = problems("models:\n  - name: m\n    drift:\n      kinds: {a: vector}\n      multivariate: 1\n")
    assert [(line, field) for line, field, _ in found] == [
        (4, "models[0].drift.kinds.a"),
        (5, "models[0].drift.multivariate"),
    ]
    assert found[0][2] == "'vector' is no kind; write text or categorical"
    assert "is not a mapping" in problems("models: [{name: m, drift: {kinds: [a]}}]")[0][2]


def test_every_mistake_is_told_with_its_line():
    found = problems(
        """\
        models:
          - name: churn
            slo: {latency: "latency_ms < 300", availability: 1.5, over: soon}
            dirft: {window: 1h}
          - name: churn
            drift: {methods: {age: magic}, window: 90}
            autoscale: {min: 5, max: 2, cold_start_s: slow}
        loadtests:
          - name: "bad name"
            model: other
            target: http://evil.test/predict
            payload: {file: ../rows.jsonl}
            shape: {spike: {}}
            thresholds: ["p95 < 5"]
            abort: "error_ratio > 0.5"
            schedule: "0 3 * *"
            timezone: Mars/Base
            scenario: openai_chat
            replicas: 0
            timeout_s: .inf
        targets:
          allow: ["http://127.0.0.1:8080/predict"]
        alerts:
          channels:
            - {name: chat, slack: https://x.test}
            - {name: oncall}
            - {webhook: ftp://x.test}
        """
    )
    told = {field: (line, message) for line, field, message in found}
    expected = {
        "models[0].slo.latency": (3, "latency_ms is a distribution"),
        "models[0].slo.availability": (3, "1.5 is not a number greater than 0 and at most 1"),
        "models[0].slo.over": (3, "'soon' is not a duration"),
        "models[0].dirft": (4, "is not known in a model; did you mean drift?; known are name, slo, drift, autoscale"),
        "models[1].name": (5, "'churn' is the name of models[0] already"),
        "models[1].drift.methods.age": (6, "'magic' is no drift method; known are ks, psi"),
        "models[1].drift.window": (6, "90 is not a duration"),
        "models[1].autoscale.max": (7, "2 is less than min, 5"),
        "models[1].autoscale.cold_start_s": (7, "'slow' is not a number"),
        "loadtests[0].name": (9, "'bad name' is no name"),
        "loadtests[0].model": (10, "'other' is not among the models (churn)"),
        "loadtests[0].target": (11, "http://evil.test is not on targets.allow (nothing)"),
        "loadtests[0].payload.file": (12, "'../rows.jsonl' is no file name; write"),
        "loadtests[0].shape.spike": (13, "is not known in a shape; known are capacity, constant, stages"),
        "loadtests[0].thresholds[0]": (14, "'p95' is not a metric of a load test"),
        "loadtests[0].abort": (15, "is not a list of thresholds"),
        "loadtests[0].schedule": (16, "'0 3 * *' is no cron line; write five fields"),
        "loadtests[0].timezone": (17, "'Mars/Base' is no time zone"),
        "loadtests[0].scenario": (18, "'openai_chat' is no scenario; known are http_json"),
        "loadtests[0].replicas": (19, "0 is not a whole number from 1 to 10,000"),
        "loadtests[0].timeout_s": (20, "'.inf' is not a number"),
        "targets.allow[0]": (22, "has a path; write only the origin, http://127.0.0.1:8080"),
        "alerts.channels[0].slack": (25, "is not known in a channel; known are name, alertmanager, webhook"),
        "alerts.channels[1]": (26, "must name one kind and its URL"),
        "alerts.channels[2].name": (27, "is missing"),
    }
    assert told.keys() == expected.keys()
    for field, (line, message) in expected.items():
        assert (told[field][0], message in told[field][1]) == (line, True), told[field]
    assert [line for line, _, _ in found] == sorted(line for line, _, _ in found)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text, line, message",
    [
        ("models:\n  - name: a\nmodels: []\n", 3, "is given twice; it stands on line 1"),
        ("models: &a []\nloadtests: *a\n", 2, "aliases (*name) are not read"),
        ("models: !!python/object/apply:os.system [id]\n", 1, "tags (tag:yaml.org,2002:python/object/apply:os.system)"),
        ("a: 1\n---\nb: 2\n", 2, "a second document begins here"),
        ("models:\n\t- x\n", 2, "this is not YAML"),
        ("models: [\n", 2, "this is not YAML"),
        ("models: " + "[" * 30 + "]" * 30, 1, "nested more than 20 deep"),
        ("models: [" * 50_000, 1, "nested more than 20 deep"),
        ("? [a]\n: 1\n", 1, "a key must be a word"),
        ("[1, 2]", 1, "[1, 2] is not seamark.yaml"),
        ("models", 1, "'models' is not seamark.yaml"),
        ("a: \x00", None, "this is not YAML"),
        ("models: {a: b}\n", 1, "{'a': 'b'} is not a list of models"),
        ("models: [churn]\n", 1, "'churn' is not a model"),
        ("models:\n  - slo: {over: 1h}\n", 2, "is missing"),
        ("models:\n  - name: a\n    slo: {over: 1h}\n", 3, "sets no objective"),
        ("models:\n  - name: 1.5\n", 2, "1.5 is no model's name"),
        ("models:\n  - name: a\n    slo: {latency: 'p99(latency_ms) > 3'}\n", 3, "what is good enough"),
        ("models:\n  - name: a\n    slo: {availability: 1}\n", 3, "leaves no error budget"),
        ("targets: {allow: ['http://u:p@h.test']}", 1, "must not hold a user name or password"),
        ("targets: {allow: ['http://h.test\\@evil.test']}", 1, "is no URL"),
        ("targets: {allow: [null]}", 1, "is empty"),
        ("alerts: {channels: [{name: a, webhook: }]}", 1, "is empty; write the URL"),
        ("x" * 1_100_000, None, "larger than 1,048,576 bytes"),
        ("models: [" + "0," * 200_000 + "]", 1, "more than 100,000 values"),
    ],
)
def test_one_mistake(text, line, message):
    found = problems(text)
    assert any(place == line and message in told for place, _, told in found), found


def test_mistakes_are_bounded_and_what_is_cut_is_counted():
    found = problems("models: [" + "{nmae: a}," * 900 + "]")
    assert len(found) == 101
    assert found[-1][2] == "and 1,700 more mistakes"


def test_yaml_words_mean_what_they_look_like():
    text = "{a: on, b: no, c: 12:30:00, d: 2026-01-31, e: '5', f: 0o7, g: 1e3, h: TRUE, i: ~, j: -5, k: .5}"
    assert read_yaml(text).data == {
        "a": "on",
        "b": "no",
        "c": "12:30:00",
        "d": "2026-01-31",
        "e": "5",
        "f": "0o7",
        "g": 1000.0,
        "h": True,
        "i": None,
        "j": -5,
        "k": 0.5,
    }


PLAN = {
    "model": "churn",
    "target": "http://127.0.0.1:8080/predict",
    "payload": {"rows": [{"age": 1}]},
    "shape": {"constant": {"rate_rps": 5, "duration_s": 3}},
}


def plan(**changes):
    return parse_plan(PLAN | changes, "nightly", KNOWN, ["HTTP://127.0.0.1:8080"], {"churn"})


def test_a_plan_of_the_api():
    made = plan(shape={"stages": [{"rate_rps": 1}]}, thresholds=["error_ratio < 0.1"])
    assert made.payload.rows == ({"age": 1},)
    assert made.shape.params == {"stages": [{"rate_rps": 1}]}
    assert (made.timezone, made.scenario, made.timeout_s, made.replicas) == ("UTC", "http_json", 30.0, 1)
    assert made.document == PLAN | {
        "name": "nightly",
        "shape": {"stages": [{"rate_rps": 1}]},
        "thresholds": ["error_ratio < 0.1"],
    }


@pytest.mark.parametrize(
    "changes, field, message",
    [
        ({"name": "other"}, "name", "'other' is not 'nightly'"),
        ({"target": None}, "target", "is missing"),
        ({"target": "http://127.0.0.1:8081/predict"}, "target", "http://127.0.0.1:8081 is not on targets.allow"),
        ({"target": "https://127.0.0.1:8080/predict"}, "target", "is not on targets.allow"),
        ({"target": "http://127.0.0.1:8080@evil.test/"}, "target", "user name or password"),
        ({"target": "http://127.0.0.1:8080/#a"}, "target", "fragment"),
        ({"target": "http://127.0.0.1:0/"}, "target", "names no host"),
        ({"target": "http://127.0.0.1:99999/"}, "target", "is no URL"),
        ({"target": "http:///predict"}, "target", "names no host"),
        ({"target": "http://\u0131.test/"}, "target", "is no URL"),
        ({"payload": {"replay": "1h", "rows": []}}, "payload", "gives replay and rows; write one"),
        ({"payload": {"rows": []}}, "payload.rows", "is not a list of 1 to 10,000 objects"),
        ({"payload": {"rows": [{}, 5]}}, "payload.rows[1]", "5 is not an object"),
        ({"payload": {"replay": "0s"}}, "payload.replay", "does not lie between"),
        ({"payload": {"rows": [{"a": float("nan")}]}}, "", "is not a finite number"),
        ({"shape": {}}, "shape", "names no shape"),
        ({"shape": {"constant": {}, "stages": []}}, "shape", "names 2 shapes"),
        ({"shape": {"constant": {"rate_rps": 5}}}, "shape.constant.duration_s", "is missing"),
        ({"shape": {"constant": 5}}, "shape.constant", "is not a mapping"),
        ({"abort": ["error_ratio > 0.5 for ever"]}, "abort[0]", "'ever' is not a duration"),
        ({"thresholds": ["error_ratio > 0.5 for 10s"]}, "thresholds[0]", "'for' belongs to abort"),
        ({"thresholds": [None]}, "thresholds[0]", "is empty"),
        ({"thresholds": ["error_ratio < 1"] * 51}, "thresholds", "at most 50"),
        ({"schedule": "0 3 31 2 *"}, "schedule", "0 3 31 2 *"),
        ({"schedule": "99 3 * * *"}, "schedule", "is no cron line"),
        ({"timezone": "../../etc/passwd"}, "timezone", "is no time zone"),
        ({"timezone": "America"}, "timezone", "is no time zone"),
        ({"replicas": True}, "replicas", "is not a whole number"),
        ({"timeout_s": 0}, "timeout_s", "0 is not a number greater than 0"),
        ({"users": 5}, "users", "is not known in a load test"),
    ],
)
def test_a_wrong_plan_names_its_fields_without_lines(changes, field, message):
    with pytest.raises(Invalid) as caught:
        plan(**changes)
    found = [(p.field, p.message) for p in caught.value.problems]
    assert any(place == field and message in told for place, told in found), found
    assert all(p.line is None for p in caught.value.problems)


def test_a_plan_that_is_no_object_is_refused():
    with pytest.raises(Invalid, match="is not a load test"):
        parse_plan([1], "nightly", KNOWN, (), ())


@given(st.text(st.sampled_from("abmodels:-[]{}\n \"'&*!|>#,?~0.1"), max_size=60))
def test_any_text_is_read_or_refused(text):
    read = read_yaml(text)
    if read.problems:
        assert read.data is None or all(problem.line for problem in read.problems)
        assert problems(text)
    elif isinstance(read.data, dict) and read.data:
        assert problems(text)


# --- who is told of changed advice ---------------------------------------------------------------------------------


def test_changed_advice_is_told_to_a_channel_of_the_file():
    channels = "alerts: {channels: [{name: chat, webhook: 'http://x.test'}]}"
    config = parse_config(
        f"models: [{{name: m, autoscale: {{notify: chat}}}}, {{name: n, autoscale: {{}}}}]\n{channels}", KNOWN
    )
    assert [model.autoscale.notify for model in config.models] == ["chat", None]


@pytest.mark.parametrize("value, shown", [("chta", "'chta'"), ("[chat]", "['chat']"), ("true", "True"), ("''", "''")])
def test_a_channel_that_is_none_is_told_with_its_line(value, shown):
    text = f"""\
        models:
          - name: m
            autoscale:
              notify: {value}
        """
    channels = "alerts: {channels: [{name: chat, webhook: 'http://x.test'}]}"
    told = f"{shown} is no channel of alerts.channels; "
    [(line, field, message)] = problems(text)
    assert (line, field, message) == (4, "models[0].autoscale.notify", f"{told}there is none")
    [(line, field, message)] = problems(textwrap.dedent(text) + channels)
    assert (line, message) == (4, f"{told}known are chat")


# --- metrics that advice reads ------------------------------------------------------------------------------------


def autoscale(lines):
    return "models:\n  - name: m\n    autoscale:\n" + textwrap.indent(textwrap.dedent(lines), " " * 6)


def test_metrics_that_advice_reads_are_taken_with_their_selectors():
    text = autoscale("""\
        replicas: {metric: k8s.deployment.available, where: {k8s.deployment.name: churn, shard: 5, live: true}}
        queue_length: {metric: queue}
        utilisation: {metric: gpu, limit: 0.8}
        """)
    spec = parse_config(text, KNOWN).models[0].autoscale
    where = (("k8s.deployment.name", "churn"), ("shard", "5"), ("live", "true"))
    assert spec.replicas == MetricInput("k8s.deployment.available", where)
    assert spec.queue_length == MetricInput("queue")
    assert spec.utilisation == MetricInput("gpu", limit=0.8)
    assert parse_config(autoscale("max: 3"), KNOWN).models[0].autoscale == AutoscaleSpec(max=3)


@pytest.mark.parametrize(
    "line, path, message",
    [
        ("replicas: available", "replicas", "'available' does not say how many replicas run; write a count"),
        ("replicas:", "replicas", "None does not say how many replicas run"),
        ("replicas: 0", "replicas", "0 is not a whole number from 1 to 100,000"),
        ("replicas: true", "replicas", "True does not say how many replicas run"),
        ("replicas: {prometheus: 'http://p.test'}", "replicas.query", "is missing"),
        (
            "replicas: {prometheus: 'file:///etc/passwd', query: up}",
            "replicas.prometheus",
            "'file:///etc/passwd' must begin with",
        ),
        (
            "replicas: {prometheus: 'http://a:b@p.test', query: up}",
            "replicas.prometheus",
            "'http://a:b@p.test' must not hold",
        ),
        (
            "replicas: {prometheus: 'http://p.test?x=1', query: up}",
            "replicas.prometheus",
            "'http://p.test?x=1' has a query",
        ),
        ("replicas: {prometheus: 'http://p.test', query: ' '}", "replicas.query", "' ' is no query"),
        ("replicas: {prometheus: 'http://p.test', query: up}", "replicas.prometheus", "http://p.test is not allowed"),
        ("replicas: {where: {a: b}}", "replicas.metric", "is missing"),
        ("replicas: {metric: a, limit: 3}", "replicas.limit", "is not known in a metric to read"),
        ("utilisation: {metric: gpu}", "utilisation.limit", "is missing"),
        ("utilisation: {metric: gpu, limit: 0}", "utilisation.limit", "0 is not a number greater than 0"),
        ("queue_length: {metric: 5}", "queue_length.metric", "5 is no metric's name"),
        ("queue_length: {metric: q, where: []}", "queue_length.where", "[] is no mapping of 1 to 20 attributes"),
        ("queue_length: {metric: q, where: {a: [1]}}", "queue_length.where.a", "[1] is no attribute's value"),
        ("queue_length: {metric: q, where: {'a\"b': 1}}", 'queue_length.where.a"b', "is no attribute's name"),
    ],
)
def test_a_metric_that_cannot_be_read_is_told_with_its_line(line, path, message):
    ((at_line, field, told),) = problems(autoscale(line))
    assert (field, at_line) == (f"models[0].autoscale.{path}", 4)
    assert told.startswith(message)


def test_replicas_are_set_by_hand_or_asked_of_a_prometheus_that_is_allowed():
    assert parse_config(autoscale("replicas: 4"), KNOWN).models[0].autoscale.replicas == 4
    allowed = "\ntargets: {prometheus: ['http://P.test:9090']}"
    wanted = "replicas: {prometheus: 'http://p.test:9090/prom/', query: 'sum(up)'}"
    config = parse_config(autoscale(wanted) + allowed, KNOWN)
    assert config.models[0].autoscale.replicas == PrometheusInput("http://p.test:9090/prom", "sum(up)")
    assert (config.prometheus_allow, config.targets) == (("http://p.test:9090",), ())
    elsewhere = "\ntargets: {allow: ['http://p.test:9090'], prometheus: ['http://p.test:9091']}"
    ((_, _, told),) = problems(autoscale(wanted) + elsewhere)
    assert told.startswith("http://p.test:9090 is not allowed; write `targets: {prometheus: [http://p.test:9090]}`")


def test_the_file_is_called_as_it_is_called() -> None:
    with pytest.raises(ConfigInvalid, match=r"^other.yaml has a mistake"):
        parse_config("modls: []", KNOWN, "other.yaml")


@pytest.mark.parametrize(
    "line, spec",
    [
        ("scale_out_most: 4", AutoscaleSpec(scale_out_most=StepLimit(replicas=4))),
        ("scale_out_most: 50%", AutoscaleSpec(scale_out_most=StepLimit(share=0.5))),
        ("scale_in_most: 100 %", AutoscaleSpec(scale_in_most=StepLimit(share=1.0))),
        ("warm: 6", AutoscaleSpec(warm=6)),
        ("warm: 0", AutoscaleSpec(warm=0)),
        ("warm: auto", AutoscaleSpec(warm_auto=True)),
    ],
)
def test_step_limits_and_what_is_kept_warm(line, spec):
    assert parse_config(autoscale(line), KNOWN).models[0].autoscale == spec


@pytest.mark.parametrize("key", ["scale_out_most", "scale_in_most"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "true", "0%", "2000%", "fast", "[4]", "100001", '"٣%"'])
def test_a_step_limit_is_replicas_or_a_share(key, value):
    ((line, field, told),) = problems(autoscale(f"{key}: {value}"))
    assert (line, field) == (4, f"models[0].autoscale.{key}") and "is no step; write replicas" in told


@pytest.mark.parametrize("value", ["-1", "11", "1.5", "yes", "often", "[auto]"])
def test_what_is_kept_warm_is_auto_or_within_the_bounds(value):
    ((line, field, told),) = problems(autoscale(f"warm: {value}"))
    assert (line, field) == (4, "models[0].autoscale.warm")
    assert told.endswith("is neither auto nor a whole number from 0 to max, 10")
