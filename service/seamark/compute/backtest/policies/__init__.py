"""The policies a backtest holds side by side. To add one: write its file, add its line here."""

from seamark.compute.backtest.policies import aws, hpa, keda_1m, keda_2m, oracle, seamark, static_peak
from seamark.compute.backtest.policy import Policy

POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        seamark.POLICY,
        hpa.POLICY,
        keda_1m.POLICY,
        keda_2m.POLICY,
        aws.POLICY,
        static_peak.POLICY,
        oracle.POLICY,
    )
}
