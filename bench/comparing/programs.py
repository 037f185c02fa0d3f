"""Programs that measure themselves: `maru bench`, and llama-bench with llama-batched-bench.

Each has a name, the lists of options that are tried, and measure(); a measurement is
{"program", "options", "command", "rates" or "seconds", and what the run cost}. Commands are kept
with names for paths, so that results name no machine.
"""
import hashlib
import json
import pathlib
import re
import subprocess

from comparing import machine

# The flash attention, repacking and huge pages of the peers; for each cell the best list is taken.
LLAMA_OPTIONS = ["--repack 0", "--repack 1"]
IK_OPTIONS = [f"-rtr {rtr} -thp {thp}" for rtr in (0, 1) for thp in (0, 1)]
CONTEXT_STEP = 256  # llama-batched-bench: the context of a stream is a multiple of this
TABLE_ROW = re.compile(r"^\|" + r"\s*([\d.]+)\s*\|" * 10, re.MULTILINE)


def first_line(arguments):
    """What `--version` says, on whichever stream; None where it fails."""
    try:
        result = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    said = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    return " / ".join(said[:2]) or None


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def watched(arguments, names, marker=None):
    """machine.run() and the fields that every measurement has. names: path -> what to call it."""
    result = machine.run(arguments, marker)
    measurement = {"command": " ".join(names.get(word, word) for word in arguments)}
    for key in ("cpu_seconds", "peak_memory_bytes", "others_cpu", "stolen_cpu"):
        measurement[key] = result[key]
    measurement["process_seconds"] = result["seconds"]
    return measurement, result


class Maru:
    """The binary of this repository."""
    option_lists = [""]

    def __init__(self, binary):
        self.name = "maru"
        self.binary = str(pathlib.Path(binary).resolve())

    def describe(self):
        git = ["git", "-C", str(pathlib.Path(self.binary).parent), "describe", "--always", "--dirty",
               "--abbrev=12"]
        return {"version": first_line([self.binary, "--version"]), "commit": first_line(git),
                "sha256": digest(self.binary)}

    def roofs(self, threads):
        result = machine.run([self.binary, "bench", "--only-roofs", "--json", "--threads", str(threads)])
        return json.loads(result["output"]) | {"others_cpu": result["others_cpu"]}

    def measure(self, cell, model, threads, _options, work):
        arguments = [self.binary]
        if cell.kind == "load":  # one evaluation and its answer, as llama-bench's one token
            arguments += ["score", str(model), "Hello there", "--json"]
        elif cell.kind == "prefill":
            arguments += ["bench", str(model), "--prefill", str(cell.tokens)]
        else:
            arguments += ["bench", str(model), "--decode-at", str(cell.context), "--streams",
                          str(cell.streams), "--decode-tokens", str(work.decode_tokens)]
        if cell.kind != "load":
            arguments += ["--repeats", str(work.repeats), "--no-roofs", "--json"]
        arguments += ["--threads", str(threads)]
        measurement, result = watched(arguments, {self.binary: "maru", str(model): model.name},
                                      '"nll"' if cell.kind == "load" else None)
        measurement |= {"program": self.name, "options": ""}
        if cell.kind == "load":
            return measurement | {"seconds": result["marker_seconds"]}
        report = json.loads(result["output"])
        rates = report["cells"][0]["samples"]
        if not rates:
            raise machine.RunError(f"the context of {model.name} does not hold {cell.spec}")
        work.model_facts = {key: report[key] for key in (
            "architecture", "parameters", "weight_bytes", "bytes_per_token", "macs_per_token",
            "macs_per_decoded_token", "isa")}
        return measurement | {"rates": rates, "load_seconds": report["load_seconds"]}


class LlamaBench:
    """A folder with llama-bench and llama-batched-bench, of llama.cpp or of ik_llama.cpp."""

    def __init__(self, name, folder, option_lists=None):
        self.name = name
        self.bench = str(pathlib.Path(folder, "llama-bench").resolve())
        self.batched = str(pathlib.Path(folder, "llama-batched-bench").resolve())
        for path in (self.bench, self.batched):
            if not pathlib.Path(path).is_file():
                raise ValueError(f"{name}: there is no {path}")
        said = subprocess.run([self.bench, "--help"], capture_output=True, text=True, timeout=60,
                              check=False)
        self.help = said.stdout + said.stderr
        default = IK_OPTIONS if "--run-time-repack" in self.help else (
            LLAMA_OPTIONS if "--repack" in self.help else [""])
        self.option_lists = option_lists or default

    def describe(self):
        return {"version": first_line([self.batched, "--version"]), "sha256": digest(self.bench),
                "sha256_batched": digest(self.batched), "option_lists": self.option_lists}

    def arguments(self, cell, model, threads, options, work):
        """The command of a cell."""
        if cell.streams > 1:
            per_stream = cell.context + work.decode_tokens
            per_stream = (per_stream + CONTEXT_STEP - 1) // CONTEXT_STEP * CONTEXT_STEP
            repeated = ",".join([str(work.decode_tokens)] * work.repeats)
            return [self.batched, "-m", str(model), "-t", str(threads), "-fa", "on", "-c",
                    str(cell.streams * per_stream), "-npp", str(cell.context), "-ntg", repeated,
                    "-npl", str(cell.streams)] + batched_options(options)
        arguments = [self.bench, "-m", str(model), "-t", str(threads), "-o", "json", "-fa",
                     "on" if "<on|off|auto>" in self.help else "1"] + options.split()
        if cell.kind == "load":
            return arguments + ["-p", "0", "-n", "1", "-r", "1"] + (
                ["--no-warmup"] if "--no-warmup" in self.help else ["-w", "0"])
        arguments += ["-r", str(work.repeats)]
        if cell.kind == "prefill":
            return arguments + ["-p", str(cell.tokens), "-n", "0"]
        if cell.context == 0:
            return arguments + ["-p", "0", "-n", str(work.decode_tokens)]
        if "--n-depth" in self.help:
            return arguments + ["-p", "0", "-n", str(work.decode_tokens), "-d", str(cell.context)]
        return arguments + ["-p", "0", "-n", "0", "-gp", f"{cell.context},{work.decode_tokens}"]

    def measure(self, cell, model, threads, options, work):
        arguments = self.arguments(cell, model, threads, options, work)
        names = {self.bench: "llama-bench", self.batched: "llama-batched-bench", str(model): model.name}
        measurement, result = watched(arguments, names, '"avg_ts"' if cell.kind == "load" else None)
        measurement |= {"program": self.name, "options": options}
        if cell.kind == "load":
            return measurement | {"seconds": result["marker_seconds"]}
        if cell.streams > 1:
            rates = parse_batched(result["output"] + result["errors"], cell.streams)
        else:
            rates = parse_bench(result["output"])
        return measurement | {"rates": rates}


def batched_options(options):
    """`--repack 0 -rtr 1` of llama-bench as the switches of llama-batched-bench."""
    words = options.split()
    if len(words) % 2:
        raise ValueError(f"options '{options}' are no pairs of a name and a value")
    switches = []
    for name, value in zip(words[::2], words[1::2]):
        if name == "--repack":
            switches.append("--repack" if value == "1" else "--no-repack")
        elif value == "1":
            switches.append(name)
        elif value != "0":
            switches += [name, value]
    return switches


def parse_bench(text):
    """tokens/s of each repetition, from the JSON of llama-bench with one test."""
    try:
        tests = json.loads(text)
    except json.JSONDecodeError as error:
        raise machine.RunError(f"llama-bench printed no JSON: {error}") from error
    if len(tests) != 1 or not tests[0].get("samples_ns"):
        raise machine.RunError(f"llama-bench measured {len(tests)} tests where one was asked for")
    n_tokens = tests[0]["n_gen"] or tests[0]["n_prompt"]
    return [n_tokens * 1e9 / ns for ns in tests[0]["samples_ns"]]


def parse_batched(text, streams):
    """tokens/s of all streams together, of each row of llama-batched-bench's table."""
    rows = [list(map(float, row)) for row in TABLE_ROW.findall(text)]
    rates = [row[2] * row[1] / row[6] for row in rows if row[2] == streams and row[6] > 0]
    if not rates:
        raise machine.RunError("llama-batched-bench printed no row for these streams")
    return rates
