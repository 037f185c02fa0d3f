"""The roofline picture: what was reached, beside what memory and arithmetic allow, as SVG.

To the right: more operations for each byte of weights read (more streams, longer prompts). Up: more
operations a second. No point can lie above the two lines. Colours follow the reader's light or dark mode.
"""
import math

from comparing import goals, results
from comparing.cells import parse_cell
from comparing.ratios import geometric_mean
from comparing.report import probes

WIDTH, HEIGHT = 960, 520
LEFT, RIGHT, TOP, BOTTOM = 80, 250, 40, 60
STYLE = """
svg { font: 14px system-ui, sans-serif; --ink: #1f2328; --faint: #d0d7de; --soft: #59636e; background: #ffffff }
@media (prefers-color-scheme: dark) {
  svg { --ink: #f0f6fc; --faint: #3d444d; --soft: #9198a1; background: #0d1117 }
}
text { fill: var(--ink) } .soft { fill: var(--soft) } .grid { stroke: var(--faint) }
.roof { stroke: var(--ink); stroke-width: 2.5; fill: none }
.p0 { --c: #2f81f7 } .p1 { --c: #d9730d } .p2 { --c: #8957e5 } .any { --c: var(--soft) }
.mark { fill: var(--c); stroke: var(--c) } .open { fill: none; stroke: var(--c); stroke-width: 2 }
"""
PROGRAMS = ["maru", goals.LLAMA, goals.IK]
SHAPES = dict(zip(goals.MODELS, ("circle", "square", "triangle", "diamond")))


def shape(kind, x, y, css, r=5.5):
    if kind == "circle":
        return f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>'
    corners = {"square": [(-1, -1), (1, -1), (1, 1), (-1, 1)], "triangle": [(0, -1.2), (1.1, 1), (-1.1, 1)],
               "diamond": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)]}[kind]
    points = " ".join(f"{x + r * 0.9 * dx:.1f},{y + r * 0.9 * dy:.1f}" for dx, dy in corners)
    return f'<polygon class="{css}" points="{points}"/>'


def point(entry, facts, program):
    """(operations per byte, operations per second) of a cell, or None."""
    cell = parse_cell(entry["cell"])
    rates = [s for b in entry["blocks"] for s in results.scores(b["runs"], program)]
    if not rates or facts is None or cell.kind == "load":
        return None
    decodes = cell.kind == "decode"
    ops = 2 * facts["macs_per_decoded_token" if decodes else "macs_per_token"]
    n_columns = cell.streams if decodes else cell.tokens
    return n_columns * ops / facts["bytes_per_token"], geometric_mean(rates) * ops


class Axes:
    """Logarithmic axes over the data and the roofs."""

    def __init__(self, points, bandwidth, peak):
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        self.x_low, self.x_high = min(xs) / 1.6, max(xs + [8 * peak / bandwidth]) * 1.3
        self.y_low, self.y_high = min(ys) / 1.8, max(ys + [peak]) * 1.8

    def x(self, value):
        part = math.log(value / self.x_low) / math.log(self.x_high / self.x_low)
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        part = math.log(value / self.y_low) / math.log(self.y_high / self.y_low)
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)

    def ticks(self, low, high):
        first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
        return [10.0 ** i for i in range(first, last + 1)]

    def grid(self):
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        for value in self.ticks(self.x_low, self.x_high):
            x = self.x(value)
            yield f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>'
            yield f'<text class="soft" x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{value:g}</text>'
        for value in self.ticks(self.y_low, self.y_high):
            y = self.y(value)
            yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
            yield f'<text class="soft" x="{LEFT - 8}" y="{y + 5:.1f}" text-anchor="end">{value / 1e9:g}</text>'
        yield (f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 14}" text-anchor="middle">'
               'operations for each byte of weights</text>')
        yield (f'<text transform="translate(22 {(TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">'
               'Gop/s</text>')


def workloads(found, axes):
    """What was done at which place of the x axis, as far as the words have room."""
    places = {}
    for entry, _, (x, _) in found:
        cell = parse_cell(entry["cell"])
        name = (f"prompt {cell.tokens}" if cell.kind == "prefill" else
                "1 stream" if cell.streams == 1 else f"{cell.streams}")
        places.setdefault(name, []).append(axes.x(x))
    end = -math.inf
    for name, xs in sorted(places.items(), key=lambda place: sum(place[1]) / len(place[1])):
        x, half = sum(xs) / len(xs), 4 * len(name) + 6
        if x - half > end:
            yield f'<text class="soft" x="{x:.1f}" y="{HEIGHT - BOTTOM - 8}" text-anchor="middle">{name}</text>'
            end = x + half


def legend(models):
    x, y = WIDTH - RIGHT + 24, TOP + 14
    for i, program in enumerate(PROGRAMS):
        yield shape("circle", x, y - 5, f"p{i} {'mark' if i == 0 else 'open'}")
        yield f'<text x="{x + 16}" y="{y}">{"Maru" if i == 0 else program}</text>'
        y += 24
    y += 14
    for model in models:
        yield shape(SHAPES[model], x, y - 5, "any open", 5)
        yield f'<text class="soft" x="{x + 16}" y="{y}">{model}</text>'
        y += 24


def draw(files):
    """The SVG, or None where nothing is measured with two threads."""
    found = []
    for data in files:
        for entry in data["cells"]:
            if entry["blocks"] and entry["threads"] == 2 and entry["model"] in SHAPES:
                found += [(entry, i, at) for i, program in enumerate(PROGRAMS)
                          if (at := point(entry, data["models"].get(entry["model"]), program))]
    if not found:
        return None
    bandwidth = geometric_mean([v for e, _, _ in found for v in probes(e, "sustained_bytes_per_second")])
    peak = geometric_mean([v for e, _, _ in found for v in probes(e, "int8_ops_per_second")])
    axes = Axes([at for _, _, at in found], bandwidth, peak)
    parts = list(axes.grid()) + list(workloads(found, axes))
    start = (axes.x(axes.x_low), axes.y(max(axes.y_low, axes.x_low * bandwidth)))
    ridge = (axes.x(peak / bandwidth), axes.y(peak))
    end = (axes.x(axes.x_high), ridge[1])
    parts.append('<polyline class="roof" points="' + " ".join(
        f"{x:.1f},{y:.1f}" for x, y in (start, ridge, end)) + '"/>')
    parts.append(f'<text x="{ridge[0] + 8:.1f}" y="{ridge[1] - 10:.1f}">'
                 f'{peak / 1e9:.0f} Gop/s int8; {bandwidth / 1e9:.0f} GB/s from memory</text>')
    for entry, i, (x, y) in sorted(found, key=lambda f: -f[1]):  # ours on top
        label = f"{entry['model']}, {parse_cell(entry['cell']).label()}, {PROGRAMS[i]}"
        css = f"p{i} {'mark' if i == 0 else 'open'}"
        parts.append(f"<g><title>{label}: {y / 1e9:.0f} Gop/s</title>"
                     f"{shape(SHAPES[entry['model']], axes.x(x), axes.y(y), css)}</g>")
    models = [m for m in goals.MODELS if any(e["model"] == m for e, _, _ in found)]
    parts += legend(models)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="Roofline of the measured programs"><style>{STYLE}</style>\n'
            + "\n".join(parts) + "\n</svg>\n")
