"""The table as a picture (SVG): a row per workload, a dot per allocator, on a logarithmic scale.

Left CPU time, right peak RSS, both as parts of glibc's, which is the line at 1.
"""

import html
import math

from .report import ratio, summarise

COLOURS = ["#d62728", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#e377c2", "#17becf"]
LOW, HIGH = 1 / 16, 16
ROW, TOP, LABELS, PANEL, GAP = 18, 64, 150, 380, 60
PANELS = (("cpu_us", "CPU time"), ("peak_rss_kib", "peak RSS"))


def place(value):
    """Where in a panel a ratio lies; what is off the scale lies on its edge."""
    clipped = min(max(value, LOW), HIGH)
    return (math.log(clipped) - math.log(LOW)) / (math.log(HIGH) - math.log(LOW)) * PANEL


def text(x, y, words, anchor="start", colour="#222"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{html.escape(words)}</text>'


def legend(names):
    parts = []
    for number, name in enumerate(names):
        x = LABELS + number * 100
        parts.append(f'<circle cx="{x}" cy="16" r="5" fill="{COLOURS[number % len(COLOURS)]}"/>')
        parts.append(text(x + 9, 20, name))
    return parts


def panel(left, key, title, summaries, names):
    bottom = TOP + ROW * len(summaries)
    parts = [text(left + PANEL / 2, TOP - 24, f"{title}, glibc = 1", "middle")]
    value = LOW
    while value <= HIGH:
        x = left + place(value)
        colour = "#444" if value == 1 else "#ddd"
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 4}" x2="{x:.1f}" y2="{bottom}" stroke="{colour}"/>')
        parts.append(text(x, TOP - 8, f"{value:g}" if value >= 1 else f"1/{1 / value:g}", "middle", "#777"))
        value *= 2
    for row, summary in enumerate(summaries):
        y = TOP + ROW * row + ROW / 2
        # Drawn last first, so that the first of the names lies on top.
        for number in reversed(range(len(names))):
            found = ratio(summary, names[number], key)
            if found:
                parts.append(f'<circle cx="{left + place(found):.1f}" cy="{y}" r="4" fill-opacity="0.85" '
                             f'fill="{COLOURS[number % len(COLOURS)]}"/>')
    return parts


def draw(workloads, results, allocators):
    names = [name for name in allocators if name != "glibc"]
    summaries = [summarise(results[workload.name]) for workload in workloads]
    width = LABELS + len(PANELS) * (PANEL + GAP)
    height = TOP + ROW * len(workloads) + 12
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="#fff"/>']
    parts += legend(names)
    for row, workload in enumerate(workloads):
        if row % 2 == 0:
            parts.append(f'<rect x="0" y="{TOP + ROW * row}" width="{width}" height="{ROW}" fill="#f6f6f6"/>')
        parts.append(text(LABELS - 10, TOP + ROW * row + 13, workload.name, "end"))
    for number, (key, title) in enumerate(PANELS):
        parts += panel(LABELS + number * (PANEL + GAP), key, title, summaries, names)
    return "\n".join([*parts, "</svg>"]) + "\n"
