"""What bench/resident shows of a run: a row a figure.

A run is a dict from the name of a phase to the line that bench_resident wrote at its end
(bench/resident_workloads/phase.h).
"""

from dataclasses import dataclass
from typing import Callable


@dataclass(frozen=True)
class Figure:
    workload: str
    name: str
    unit: str
    of: Callable  # run -> number, or None where the machine does not tell


def field(phase, key, divisor=1):
    return lambda run: run[phase][key] / divisor


def resident(phase, key="rss_kib"):
    """MiB resident without the workload's own notes."""
    return lambda run: (run[phase][key] - run["start"]["bookkeeping_kib"]) / 1024


def grown(phase):
    """MiB resident more than at the start."""
    return lambda run: resident(phase)(run) - run["start"]["rss_kib"] / 1024


def each(phase, key, divisor=1):
    """Of one of the operations, cycles or steps that the phase counts."""
    return lambda run: run[phase][key] / run[phase]["count"] / divisor


def tlb_misses(run):
    misses = run["walked"]["tlb_misses"]
    return None if misses < 0 else misses / run["walked"]["count"]


def expiry(workload, passing):
    return [Figure(workload, name, unit, of) for name, unit, of in [
        ("RSS at the start", "MiB", field("start", "rss_kib", 1024)),
        ("notes of the benchmark", "MiB", field("start", "bookkeeping_kib", 1024)),
        ("live when full", "MiB", field("full", "live_bytes", 2**20)),
        ("RSS when full", "MiB", resident("full")),
        ("CPU time of the fill", "ms", field("full", "cpu_us", 1000)),
        ("CPU time of freeing 90 %", "ms", field("freed", "cpu_us", 1000)),
        ("live then", "MiB", field("freed", "live_bytes", 2**20)),
        ("pages with a live byte", "MiB", field("counted", "pages_held", 256)),
        ("RSS when freed", "MiB", resident("freed")),
        (f"RSS, {passing} 2 s", "MiB", resident("after 2 s")),
        (f"RSS, {passing} 10 s", "MiB", resident("after 10 s")),
        ("of it lazily freed", "MiB", field("after 10 s", "lazy_free_kib", 1024)),
        (f"CPU time of {passing} 10 s", "ms",
         lambda run: (run["after 2 s"]["cpu_us"] + run["after 10 s"]["cpu_us"]) / 1000),
        ("CPU time of the refill", "ms", field("refilled", "cpu_us", 1000)),
        ("faults of the refill", "", field("refilled", "minor_faults")),
        ("peak RSS of the refill", "MiB", resident("refilled", "peak_rss_kib")),
    ]]


def scaling(workload):
    return [Figure(workload, name, unit, of) for name, unit, of in [
        ("calls in a second of CPU time", "million", lambda run: run["worked"]["count"] / run["worked"]["cpu_us"]),
        ("peak RSS over start", "MiB",
         lambda run: (run["worked"]["peak_rss_kib"] - run["start"]["rss_kib"]) / 1024),
        ("RSS over start when freed", "MiB", grown("worked")),
        ("RSS over start, asleep 2 s", "MiB", grown("after 2 s")),
    ]]


FIGURES = [
    *expiry("expire", "idle"),
    *expiry("busy", "busy"),
    Figure("freeall", "RSS when full", "MiB", resident("full")),
    Figure("freeall", "CPU time of freeing all", "ms", field("freed", "cpu_us", 1000)),
    Figure("freeall", "RSS over start when freed", "MiB", grown("freed")),
    Figure("freeall", "RSS over start, idle 2 s", "MiB", grown("after 2 s")),
    Figure("wakeups", "RSS over start, idle 3 s", "MiB", grown("after 3 s")),
    Figure("wakeups", "threads of the allocator's", "", field("watched", "threads")),
    Figure("wakeups", "their switches in 5 s", "", field("watched", "switches")),
    Figure("wakeups", "CPU time in 5 s", "ms", field("watched", "cpu_us", 1000)),
    Figure("churn_800k", "CPU time of a pair", "µs", each("churned", "cpu_us")),
    Figure("churn_800k", "faults of a pair", "", each("churned", "minor_faults")),
    Figure("churn_64m", "CPU time of a pair", "µs", each("churned", "cpu_us")),
    Figure("churn_64m", "faults of a pair", "", each("churned", "minor_faults")),
    Figure("sawtooth", "CPU time, first cycle", "ms", each("first cycle", "cpu_us", 1000)),
    Figure("sawtooth", "faults, first cycle", "", each("first cycle", "minor_faults")),
    Figure("sawtooth", "CPU time, later cycles", "ms", each("later cycles", "cpu_us", 1000)),
    Figure("sawtooth", "faults, later cycles", "", each("later cycles", "minor_faults")),
    Figure("sleepers", "RSS over start when worked", "MiB", grown("worked")),
    Figure("sleepers", "RSS over start, asleep 2 s", "MiB", grown("after 2 s")),
    Figure("sleepers", "CPU time of the work", "ms", field("worked", "cpu_us", 1000)),
    *(figure for count in (1, 2, 8, 64, 1000) for figure in scaling(f"scale_{count}")),
    Figure("random_4g", "RSS when full", "MiB", resident("full")),
    Figure("random_4g", "of it in huge pages", "MiB", field("full", "anon_huge_kib", 1024)),
    Figure("random_4g", "faults of the fill", "", field("full", "minor_faults")),
    Figure("random_4g", "CPU time of the fill", "ms", field("full", "cpu_us", 1000)),
    Figure("random_4g", "CPU time of an access", "ns", each("walked", "cpu_us", 0.001)),
    Figure("random_4g", "faults of the accesses", "", field("walked", "minor_faults")),
    Figure("random_4g", "TLB misses of an access", "", tlb_misses),
]
