"""The file of results: everything raw, written after each block, so that a run can go on later."""
import json
import os
import pathlib

from comparing import ratios
from comparing.cells import parse_cell

FORMAT = 1
# A run with more of the machine used by others is counted in the table; shorter runs are not judged,
# as the system counts in hundredths of a second.
OTHERS_CPU_MOST = 0.03
JUDGED_SECONDS_LEAST = 0.5


class Results:
    """One JSON file. `data` is what is stored; the summaries are computed from it."""

    def __init__(self, path, header):
        self.path = pathlib.Path(path)
        if self.path.exists():
            self.data = json.loads(self.path.read_text(encoding="utf-8"))
            for key, value in header.items():
                if without_commits(self.data.get(key)) != without_commits(value):
                    raise ValueError(f"{path} was made with another '{key}'; choose another --out")
        else:
            self.data = {"format": FORMAT, **header, "models": {}, "cells": []}

    def save(self):
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.data, indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, self.path)

    def cell(self, model, spec, threads):
        """The entry of a cell; a new one where there is none."""
        for entry in self.data["cells"]:
            if (entry["model"], entry["cell"], entry["threads"]) == (model, spec, threads):
                return entry
        entry = {"model": model, "cell": spec, "threads": threads, "trials": [], "blocks": []}
        self.data["cells"].append(entry)
        return entry


def without_commits(value):
    """A part of the header; programs are told apart by their SHA-256, as commits of text change no binary."""
    if not isinstance(value, dict):
        return value
    return {key: without_commits(inner) for key, inner in value.items() if key != "commit"}


def score(measurement):
    """What more is better of: tokens/s of the whole run, or starts per second."""
    if "seconds" in measurement:
        return 1 / measurement["seconds"]
    rates = measurement["rates"]
    return len(rates) / sum(1 / rate for rate in rates)  # repetitions have equal numbers of tokens


def best_options(entry, program):
    """The option list with the best trial; None before the first trial."""
    trials = [t for t in entry["trials"] if t["program"] == program and "error" not in t]
    return max(trials, key=score)["options"] if trials else None


def scores(runs, program):
    return [score(run) for run in runs if run["program"] == program]


def summarize(entry, peer):
    """ratios.summarize() of a cell, with the mean scores of both; None without a block."""
    blocks = [b["runs"] for b in entry["blocks"] if scores(b["runs"], peer)]
    if not blocks:
        return None
    summary = ratios.summarize(
        [ratios.block_ratio(scores(b, "maru"), scores(b, peer)) for b in blocks])
    summary["maru"] = ratios.geometric_mean([s for b in blocks for s in scores(b, "maru")])
    summary["peer"] = ratios.geometric_mean([s for b in blocks for s in scores(b, peer)])
    summary["options"] = best_options(entry, peer)
    summary["disturbed"] = sum(
        run.get("others_cpu", 0) > OTHERS_CPU_MOST and run["process_seconds"] > JUDGED_SECONDS_LEAST
        for b in blocks for run in b)
    return summary


def peers_of(entry):
    return list(dict.fromkeys(
        run["program"] for b in entry["blocks"] for run in b["runs"] if run["program"] != "maru"))


def figure(entry, value):
    """A score as people read it."""
    if entry["cell"] == "load":
        return f"{1 / value:.2f} s"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def interval(summary):
    if summary["low"] is None:
        return "one block"
    return f"{summary['low']:.2f}–{summary['high']:.2f}"


def markdown(data):
    """A short table of every cell and peer."""
    lines = ["| model | cell | threads | Maru | peer | its best options | its rate | ratio | 95 % | blocks | |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    disturbed = 0
    for entry in data["cells"]:
        for peer in peers_of(entry):
            s = summarize(entry, peer)
            disturbed += s["disturbed"]
            lines.append("| " + " | ".join([
                entry["model"], parse_cell(entry["cell"]).label(), str(entry["threads"]),
                figure(entry, s["maru"]), peer, s["options"] or "", figure(entry, s["peer"]),
                f"{s['ratio']:.2f}", interval(s), str(s["blocks"]), s["verdict"] or ""]) + " |")
    if disturbed:
        lines.append(f"\nIn {disturbed} runs other programs used more than "
                     f"{100 * OTHERS_CPU_MOST:.0f} % of the machine.")
    return "\n".join(lines)
