"""A step of a simulated world -> the rules that it breaks, each in a sentence."""

from __future__ import annotations

from tests.sim.world import MAX, MIN, Run, Step

TOO_MUCH = 1.3  # what is still on its way may be guessed, and guessed too high; twice the traffic may not
MUFFLED = {"outage", "late", "clock"}  # faults by which less is heard than there is


def broken(run: Run) -> list[str]:
    """All that any step breaks."""
    return [f"{step.at_s:.0f} s: {words}" for step in run.steps for words in _broken(step)]


def _broken(step: Step) -> list[str]:
    told = step.answer
    wrong = []
    if told["state"] == "ok" and not MIN <= told["replicas"] <= MAX:
        wrong.append(f"advice of {told['replicas']} is out of bounds")
    if not MIN <= step.after <= MAX:
        wrong.append(f"{step.after} replicas are out of bounds")
    if not told["reason"].endswith(".") or len(told["reason"]) < 10:
        wrong.append(f"the reason is {told['reason']!r}")
    if told != step.stored:
        wrong.append("the answer is not what was stored")
    return wrong + _scale_in(step) + _heard(step)


def _scale_in(step: Step) -> list[str]:
    if step.after >= step.before:
        return []
    fewer = f"{step.before} became {step.after}"
    if step.told_capacity_rps is None:
        return [f"{fewer} while no capacity is known"]
    if step.blind_s >= 60.0:
        return [f"{fewer} while nothing was heard for {step.blind_s:.0f} s"]
    if step.answer["state"] != "ok":
        return [f"{fewer} on a hold"]
    if "outage" in step.faults and not step.out:
        return [f"{fewer} although half of the last minute was not heard of"]
    if step.true_rps > step.after * step.told_capacity_rps:
        return [f"{fewer}, and {step.true_rps:.1f} requests/s come"]
    return []


def _heard(step: Step) -> list[str]:
    if step.at_s < 70.0 or step.blind_s >= 70.0 or step.faults & MUFFLED:
        return []
    told, wrong = step.answer, []
    if step.settled and told["current"] != step.ready:
        wrong.append(f"current is {told['current']}, and {step.ready} run")
    rps = told["arrivals_rps"]
    if rps is None or rps > TOO_MUCH * step.lately_rps + 0.5:
        wrong.append(f"{rps} requests/s are told, and {step.lately_rps:.1f} came")
    return wrong
