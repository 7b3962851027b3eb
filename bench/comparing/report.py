"""Samples to a table, and to JSON."""

import datetime
import json
import math
import os
import platform
import statistics
import subprocess
from pathlib import Path

from .runs import median, spread

METRICS = {"cpu_us": "user + system time", "wall_us": "wall time", "peak_rss_kib": "peak RSS",
           "minor_faults": "page faults"}


def machine():
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    huge = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "transparent_hugepage": huge.read_text().strip() if huge.exists() else "none",
        "load_before": os.getloadavg()[0],
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def tree_version(root):
    done = subprocess.run(["git", "-C", str(root), "describe", "--always", "--dirty"],
                          capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def summarise(row):
    """Per allocator the median, smallest and largest of each metric; null where a run failed."""
    summary = {}
    for name, cell in row.items():
        if cell["error"] or not cell["samples"]:
            summary[name] = None
            continue
        summary[name] = {
            key: {"median": median(cell["samples"], key), "min": spread(cell["samples"], key)[0],
                  "max": spread(cell["samples"], key)[1]} for key in METRICS}
    return summary


def ratio(summary, name, key, base="glibc"):
    """Median of `name` over that of `base`, or None where either is missing or zero."""
    if not summary.get(name) or not summary.get(base) or not summary[base][key]["median"]:
        return None
    return summary[name][key]["median"] / summary[base][key]["median"]


def to_best_peer(summary, key):
    """ream over the least of the other allocators."""
    peers = [values[key]["median"] for name, values in summary.items() if values and name != "ream"]
    if not summary.get("ream") or not peers or not min(peers):
        return None
    return summary["ream"][key]["median"] / min(peers)


def geometric_mean(values):
    """Of those that are there and above zero; None where there are none."""
    logs = [math.log(value) for value in values if value]
    return math.exp(sum(logs) / len(logs)) if logs else None


def show(value):
    return "-" if value is None else f"{value:.2f}"


def noise(summary):
    """The widest spread of CPU time in a row, as a part of the median."""
    widths = [(values["cpu_us"]["max"] - values["cpu_us"]["min"]) / max(1, values["cpu_us"]["median"])
              for values in summary.values() if values]
    return max(widths, default=0)


def mean_lines(title, summaries, names, width):
    if not summaries:
        return []
    cells = []
    for name in names:
        means = [geometric_mean(ratio(summary, name, key) for summary in summaries)
                 for key in ("cpu_us", "peak_rss_kib")]
        cells.append(f"{show(means[0]):>6} /{show(means[1]):>5}")
    best = ""
    if "ream" in names:
        best = "  " + show(geometric_mean(to_best_peer(summary, "cpu_us") for summary in summaries))
    return [f"{title:<{width}} {'':>17} " + " ".join(f"{cell:>13}" for cell in cells) + "       " + best]


def table(workloads, results, allocators):
    """The text to print: glibc's own figures, then CPU time and peak RSS of each other allocator as
    parts of glibc's."""
    names = [name for name in allocators if name != "glibc"]
    width = max(len("geometric mean, all"), *(len(workload.name) for workload in workloads))
    head = f"{'':<{width}} {'glibc':>17} " + " ".join(f"{name:>13}" for name in names) + "  spread"
    if "ream" in names:
        head += "  ream/best"
    lines = [head,
             f"{'':<{width}} {'s / MiB':>17} " + " ".join(f"{'cpu / rss':>13}" for _ in names)]
    by_kind = {}
    for workload in workloads:
        summary = summarise(results[workload.name])
        by_kind.setdefault(workload.kind, []).append(summary)
        base = summary["glibc"]
        own = "failed" if base is None else (f"{base['cpu_us']['median'] / 1e6:8.3f} /"
                                             f"{base['peak_rss_kib']['median'] / 1024:7.1f}")
        cells = []
        for name in names:
            if summary[name] is None:
                cells.append("failed")
            else:
                cells.append(f"{show(ratio(summary, name, 'cpu_us')):>6} /"
                             f"{show(ratio(summary, name, 'peak_rss_kib')):>5}")
        line = f"{workload.name:<{width}} {own:>17} " + " ".join(f"{cell:>13}" for cell in cells)
        line += f"  {noise(summary) * 100:4.0f} %"
        if "ream" in names:
            line += f"  {show(to_best_peer(summary, 'cpu_us'))}"
        lines.append(line)
    lines.append("")
    everything = [summary for group in by_kind.values() for summary in group]
    for kind, group in by_kind.items():
        if len(by_kind) > 1:
            lines += mean_lines(f"geometric mean, {kind}s", group, names, width)
    lines += mean_lines("geometric mean, all", everything, names, width)
    return "\n".join(lines)


def figures(row):
    """What a workload reports besides time and memory: [{"name", "unit", "values": {allocator: median,
    smallest and largest, or null where a run failed}}]."""
    found = {}
    for name, cell in row.items():
        samples = [] if cell["error"] else cell["samples"]
        for sample in samples:
            for figure in sample.get("figures", []):
                values = found.setdefault((figure["name"], figure["unit"]), {})
                values.setdefault(name, []).append(figure["value"])
    return [{"name": figure, "unit": unit,
             "values": {name: {"median": statistics.median(values[name]), "min": min(values[name]),
                               "max": max(values[name])} if name in values else None for name in row}}
            for (figure, unit), values in found.items()]


def figure_table(workloads, results, allocators):
    """A row for each figure, medians; empty where no workload has any."""
    lines = []
    for workload in workloads:
        if rows := figures(results[workload.name]):
            lines += ["", f"{workload.name:<26}" + "".join(f"{name:>12}" for name in allocators)]
        for row in rows:
            cells = [row["values"][name] for name in allocators]
            lines.append(f"  {row['name'] + ', ' + row['unit']:<24}" +
                         "".join(f"{cell['median']:>12,.0f}" if cell else f"{'failed':>12}" for cell in cells))
    return "\n".join(lines[1:])


def failures(workloads, results):
    return [f"{workload.name} on {name}: {cell['error']}" for workload in workloads
            for name, cell in results[workload.name].items() if cell["error"]]


def write_json(path, *, root, allocators, rounds, before, workloads, results, instructions):
    document = {
        "format": 1,
        "ream": tree_version(root),
        "machine": before,
        "rounds": rounds,
        "allocators": allocators,
        "metrics": METRICS,
        "workloads": [
            {"name": workload.name, "about": workload.about, "kind": workload.kind,
             "summary": summarise(results[workload.name]),
             "figures": figures(results[workload.name]),
             "instructions": instructions.get(workload.name),
             "runs": results[workload.name]} for workload in workloads],
    }
    Path(path).write_text(json.dumps(document, indent=1) + "\n")
