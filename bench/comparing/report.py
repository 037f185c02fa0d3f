"""docs/performance.md between its markers: the goals with what was measured, and the losses."""
from comparing import goals, results
from comparing.cells import parse_cell
from comparing.ratios import geometric_mean


def find_entry(files, model, cell, threads):
    """The entry with the most blocks, of files of one machine."""
    entries = [e for data in files for e in data["cells"]
               if (e["model"], e["cell"], e["threads"]) == (model, cell, threads) and e["blocks"]]
    return max(entries, key=lambda e: len(e["blocks"]), default=None)


def facts_of(files, model):
    return next((data["models"][model] for data in files if model in data["models"]), None)


def probes(entry, key):
    return [block[when][key] for block in entry["blocks"] for when in ("probe_before", "probe_after")]


def part_of_roof(entry, facts):
    """Of the int8 peak for a prompt, of sustained reads for one stream; None where neither bounds."""
    cell = parse_cell(entry["cell"])
    if facts is None or cell.kind == "load" or cell.streams > 1:
        return None
    rate = geometric_mean([s for b in entry["blocks"] for s in results.scores(b["runs"], "maru")])
    if cell.kind == "prefill":
        return rate * 2 * facts["macs_per_token"] / geometric_mean(probes(entry, "int8_ops_per_second"))
    return rate * facts["bytes_per_token"] / geometric_mean(probes(entry, "sustained_bytes_per_second"))


def compared(entry, goal, peer):
    """The two cells of one peer: its rate, and the ratio beside the goal."""
    summary = results.summarize(entry, peer) if entry else None
    least = f"goal {goal.least[peer]:g}"
    if summary is None:
        return ["not measured", least]
    reached = "reached" if summary["ratio"] >= goal.least[peer] else "missed"
    verdict = {"loss": "**slower**, ", "even": "**no clear win**, "}.get(summary["verdict"], "")
    return [results.figure(entry, summary["peer"]),
            f"{summary['ratio']:.2f} ({results.interval(summary)}); {verdict}{least} {reached}"]


def goal_table(files):
    lines = ["| model | workload | threads | Maru | of the roof | llama.cpp | Maru / llama.cpp | ik_llama.cpp "
             "| Maru / ik_llama.cpp |", "|---|---|---|---|---|---|---|---|---|"]
    for goal in goals.GOALS:
        entry = find_entry(files, goal.model, goal.cell, goal.threads)
        ours, part = "not measured", None
        if entry:
            ours = results.figure(entry, geometric_mean(
                [s for b in entry["blocks"] for s in results.scores(b["runs"], "maru")]))
            part = part_of_roof(entry, facts_of(files, goal.model))
        lines.append("| " + " | ".join([
            goal.model, parse_cell(goal.cell).label(), str(goal.threads), ours,
            f"{100 * part:.0f} %" if part else "", *compared(entry, goal, goals.LLAMA),
            *compared(entry, goal, goals.IK)]) + " |")
    return "\n".join(lines)


def other_table(files):
    """Measured cells without a goal, or None."""
    with_goal = {(g.model, g.cell, g.threads) for g in goals.GOALS}
    rest = [e | {"cells": None} for data in files for e in data["cells"]
            if e["blocks"] and (e["model"], e["cell"], e["threads"]) not in with_goal]
    return results.markdown({"cells": rest}) if rest else None


def losses(files):
    """Every measured goal that was missed, worst first."""
    missed = []
    for goal in goals.GOALS:
        entry = find_entry(files, goal.model, goal.cell, goal.threads)
        for peer, least in goal.least.items():
            summary = results.summarize(entry, peer) if entry else None
            if summary and (summary["ratio"] < least or summary["verdict"] in ("loss", "even")):
                label = f"{goal.model}, {parse_cell(goal.cell).label()}"
                threads = "" if goal.threads == 2 else f", {goal.threads} thread"
                missed.append((summary["ratio"] / least, summary["ratio"] < 1,
                               f"{label}{threads}: {summary['ratio']:.2f} of {peer}, goal {least:g}"))
    measured = sum(find_entry(files, g.model, g.cell, g.threads) is not None for g in goals.GOALS)
    if not measured:
        return "Nothing is measured yet."
    if not missed:
        return f"Of the {measured} measured rows none missed its goals."
    slower = sum(is_slower for _, is_slower, _ in missed)
    head = f"{len(missed)} goals are missed, in {slower} of them Maru is the slower program; worst first:"
    return "\n".join([head, ""] + [f"- {text}" for _, _, text in sorted(missed)])


def machine_lines(files):
    """The machine, its roofs and the programs, of the newest file."""
    if not files:
        return "Nothing is measured yet."
    data = files[-1]
    machine = data["machine"]
    cpuid = machine["cpuid"]
    entries = [e for d in files for e in d["cells"] if e["blocks"] and e["threads"] == 2]
    lines = [f"- {machine['cpu']}, {machine['cores']} cores, CPUID {cpuid['vendor']} family {cpuid['family']} "
             f"model {cpuid['model']} stepping {cpuid['stepping']}, {', '.join(machine['cpu_flags'])}; "
             f"Linux {machine['kernel']}, {machine['memory_bytes'] / 1e9:.0f} GB"]
    if entries:
        def spread(key, unit, scale):
            values = sorted(v / scale for e in entries for v in probes(e, key))
            middle = values[len(values) // 2]
            return f"{middle:.0f} {unit} ({values[0]:.0f} to {values[-1]:.0f})"
        lines.append("- roofs of two threads, median and range of the probes around all blocks: "
                     + spread("sustained_bytes_per_second", "GB/s read for 0.4 s", 1e9) + ", "
                     + spread("read_bytes_per_second", "GB/s in the best burst", 1e9) + ", "
                     + spread("int8_ops_per_second", "Gop/s int8", 1e9))
    for name, program in data["programs"].items():
        known = [program.get(key) for key in ("version", "commit", "about")]
        lines.append(f"- {name}: {'; '.join(filter(None, known))}; sha256 {program['sha256'][:12]}")
    return "\n".join(lines)


def readme_table(files):
    """The short table of the README."""
    rows = [("prefill:512", 2), ("decode:0", 2), ("decode:32x8", 2)]
    lines = ["| model | workload | Maru, tokens/s | llama.cpp | ik_llama.cpp |", "|---|---|---|---|---|"]
    for model in goals.MODELS:
        for cell, threads in rows:
            entry = find_entry(files, model, cell, threads)
            if entry is None:
                continue
            words = []
            for peer in (goals.LLAMA, goals.IK):
                s = results.summarize(entry, peer)
                words.append(f"{results.figure(entry, s['peer'])} (× {s['ratio']:.2f})" if s else "")
            ours = geometric_mean([s for b in entry["blocks"] for s in results.scores(b["runs"], "maru")])
            lines.append(f"| {model} | {parse_cell(cell).label()} | {results.figure(entry, ours)} | "
                         + " | ".join(words) + " |")
    return "\n".join(lines) if len(lines) > 2 else "Nothing is measured yet."


def fill(text, name, content):
    """`text` with `content` between the lines <!-- NAME --> and <!-- /NAME -->."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"the document has no {begin} ... {end}")
    return f"{before}{begin}\n{content}\n{end}{after}"
