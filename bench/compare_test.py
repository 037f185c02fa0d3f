#!/usr/bin/env python3
"""Tests the parts of bench/compare that decide what a measurement says: parsing, statistics, tables."""
import json
import pathlib
import random
import sys
import tempfile
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from comparing import goals, machine, programs, ratios, report, results, roofline, server  # noqa: E402
from comparing.cells import DEFAULT_CELLS, parse_cell  # noqa: E402

BATCHED = """
main: n_kv_max = 1024, n_batch = 2048
|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |
|-------|--------|------|--------|----------|----------|----------|----------|----------|----------|
|    32 |     64 |    4 |    384 |    0.500 |   256.00 |    2.000 |   128.00 |    2.500 |   153.60 |
|    32 |     64 |    4 |    384 |    0.500 |   256.00 |    1.600 |   160.00 |    2.100 |   182.86 |
"""


class Work:
    decode_tokens, repeats = 64, 2


def bench_program(help_text):
    """A LlamaBench without its files."""
    program = programs.LlamaBench.__new__(programs.LlamaBench)
    program.name, program.bench, program.batched, program.help = "p", "bench", "batched", help_text
    return program


def run(program, *rates, **more):
    return {"program": program, "options": "", "rates": list(rates), **more}


def block(*runs, bandwidth=40e9, peak=1e12):
    probe = {"sustained_bytes_per_second": bandwidth, "read_bytes_per_second": bandwidth,
             "int8_ops_per_second": peak}
    return {"probe_before": probe, "probe_after": probe, "runs": list(runs)}


def data(blocks, cell="decode:0", model="smollm2:135m"):
    facts = {"bytes_per_token": 100e6, "macs_per_token": 100e6, "macs_per_decoded_token": 130e6}
    return {"machine": {"cpu": "x", "cores": 2, "cpu_flags": [], "kernel": "6", "memory_bytes": 1e9,
                        "cpuid": {"vendor": "v", "family": "1", "model": "2", "stepping": "3"}},
            "programs": {"maru": {"version": "1", "sha256": "0" * 64}}, "models": {model: facts},
            "cells": [{"model": model, "cell": cell, "threads": 2, "trials": [], "blocks": blocks}]}


class Cells(unittest.TestCase):
    def test_each_kind_is_parsed(self):
        self.assertEqual(parse_cell("prefill:512").tokens, 512)
        self.assertEqual((parse_cell("decode:2048").context, parse_cell("decode:2048").streams), (2048, 1))
        self.assertEqual((parse_cell("decode:32x8").context, parse_cell("decode:32x8").streams), (32, 8))
        self.assertEqual(parse_cell("load").kind, "load")

    def test_others_are_refused(self):
        for spec in ("", "prefill", "prefill:0", "prefill:-1", "decode:1x0", "decode:1x65", "load:1", "a"):
            with self.assertRaises(ValueError, msg=spec):
                parse_cell(spec)

    def test_every_goal_is_among_the_usual_cells(self):
        for goal in goals.GOALS:
            self.assertIn(goal.cell, DEFAULT_CELLS)


class Ratios(unittest.TestCase):
    def test_a_steady_drift_is_as_good_to_one_as_to_the_other(self):
        # The machine gets faster by a factor in each run of A B B A; both programs are equal.
        self.assertAlmostEqual(ratios.block_ratio([1, 8], [2, 4]), 1)

    def test_mean_is_geometric(self):
        self.assertAlmostEqual(ratios.summarize([2, 0.5])["ratio"], 1)

    def test_a_win_needs_the_whole_interval_above_one(self):
        self.assertEqual(ratios.summarize([1.2, 1.25, 1.3, 1.22, 1.27])["verdict"], "win")
        self.assertEqual(ratios.summarize([1.5, 0.9, 1.4, 0.8, 1.1])["verdict"], "even")
        self.assertEqual(ratios.summarize([0.8, 0.85, 0.9, 0.7, 0.95])["verdict"], "loss")

    def test_few_blocks_give_an_interval_and_no_verdict(self):
        summary = ratios.summarize([1.2, 1.3, 1.25, 1.4])
        self.assertGreater(summary["low"], 1)
        self.assertIsNone(summary["verdict"])

    def test_the_interval_holds_the_mean_and_repeats(self):
        values = [1.1, 1.3, 0.95, 1.2, 1.05]
        one, again = ratios.summarize(values), ratios.summarize(values)
        self.assertEqual(one, again)
        self.assertLess(one["low"], one["ratio"])
        self.assertGreater(one["high"], one["ratio"])

    def test_the_interval_holds_the_truth_about_as_often_as_it_says(self):
        rng = random.Random(1)
        hits = sum(s["low"] <= 1 <= s["high"] for s in (
            ratios.summarize([rng.lognormvariate(0, 0.05) for _ in range(12)]) for _ in range(60)))
        self.assertGreater(hits, 48)  # a percentile bootstrap of 12 is a little narrow: about 91 %

    def test_one_block_has_no_interval(self):
        self.assertEqual(ratios.summarize([1.5]), {"ratio": 1.5, "low": None, "high": None,
                                                   "verdict": None, "blocks": 1})


class LlamaBench(unittest.TestCase):
    def test_rates_come_from_the_times_of_the_repetitions(self):
        text = json.dumps([{"n_prompt": 512, "n_gen": 0, "samples_ns": [1_000_000_000, 2_000_000_000]}])
        self.assertEqual(programs.parse_bench(text), [512, 256])

    def test_a_decode_behind_a_prompt_counts_what_was_generated(self):
        text = json.dumps([{"n_prompt": 2048, "n_gen": 64, "samples_ns": [2_000_000_000]}])
        self.assertEqual(programs.parse_bench(text), [32])

    def test_bad_output_is_an_error(self):
        for text in ("", "[]", "[{}]", "{\"a\""):
            with self.assertRaises(machine.RunError, msg=text):
                programs.parse_bench(text)

    def test_rows_of_the_batched_table(self):
        self.assertEqual(programs.parse_batched(BATCHED, 4), [128, 160])
        with self.assertRaises(machine.RunError):
            programs.parse_batched(BATCHED, 8)

    def test_options_as_switches(self):
        self.assertEqual(programs.batched_options("--repack 0"), ["--no-repack"])
        self.assertEqual(programs.batched_options("-rtr 1 -thp 0 -ub 256"), ["-rtr", "-ub", "256"])
        with self.assertRaises(ValueError):
            programs.batched_options("-rtr")

    def test_context_and_streams_as_each_program_takes_them(self):
        model = pathlib.Path("m.gguf")
        deep = bench_program("<on|off|auto> --n-depth --no-warmup")
        self.assertIn("-d 2048", " ".join(deep.arguments(parse_cell("decode:2048"), model, 2, "", Work)))
        plain = bench_program("-rtr, --run-time-repack")
        words = " ".join(plain.arguments(parse_cell("decode:2048"), model, 2, "-rtr 1", Work))
        self.assertIn("-gp 2048,64", words)
        self.assertIn("-fa 1 -rtr 1", words)
        words = " ".join(plain.arguments(parse_cell("decode:32x8"), model, 2, "-rtr 1", Work))
        self.assertIn("batched -m m.gguf -t 2 -fa on -c 2048 -npp 32 -ntg 64,64 -npl 8 -rtr", words)


class Servers(unittest.TestCase):
    def read(self, *events):
        """What read_stream() makes of events that come one second after the other."""
        clock = iter(range(100))
        now = [0]

        def lines():
            for event in events:
                now[0] = next(clock)
                yield b"data: " + json.dumps(event).encode() + b"\n"
            yield b"data: [DONE]\n"

        with unittest.mock.patch.object(server.time, "monotonic", lambda: now[0] + 1):
            return server.read_stream(lines())

    def test_a_stream_is_timed_by_its_text(self):
        def text(piece, reason=None):
            return {"choices": [{"text": piece, "finish_reason": reason}]}
        usage = {"prompt_tokens": 3, "completion_tokens": 2}
        events = [text(""), text("a"), text("b"), text("", "length"), {"choices": [], "usage": usage}]
        self.assertEqual(self.read(*events), (2, 3, usage))
        self.assertEqual(self.read(text(""), text("", "length")), (2, 2, None))

    def test_streams_that_waited_for_each_other_are_no_batch(self):
        self.assertEqual(server.rate_together([(0, 10, 11), (0.5, 10, 20)]), 1 + 19 / 9.5)
        with self.assertRaises(machine.RunError):
            server.rate_together([(0, 10, 11), (10, 20, 11)])


class Machine(unittest.TestCase):
    def test_stolen_time_is_no_busy_time(self):
        total, busy, stolen = machine.parse_cpu_times("cpu  100 0 50 800 0 0 0 50 0 0\n")
        self.assertEqual((busy / total, stolen / total), (0.15, 0.05))

    def test_a_run_is_watched(self):
        result = machine.run([sys.executable, "-c", "print('one'); print('two')"], "two")
        self.assertEqual(result["output"], "one\ntwo\n")
        self.assertGreater(result["marker_seconds"], 0)
        self.assertLessEqual(result["marker_seconds"], result["seconds"])

    def test_a_failed_run_says_its_last_words(self):
        with self.assertRaisesRegex(machine.RunError, "ended with 3: no such model"):
            machine.run([sys.executable, "-c", "import sys; print('no such model', file=sys.stderr); sys.exit(3)"])


class Stored(unittest.TestCase):
    def test_a_run_counts_tokens_by_time(self):
        self.assertAlmostEqual(results.score({"rates": [100, 50]}), 2 / (1 / 100 + 1 / 50))
        self.assertEqual(results.score({"seconds": 0.5}), 2)

    def test_the_best_trial_decides(self):
        entry = {"trials": [run("p", 5) | {"options": "a"}, run("p", 7) | {"options": "b"},
                            {"program": "p", "options": "c", "error": "no"}]}
        self.assertEqual(results.best_options(entry, "p"), "b")
        self.assertIsNone(results.best_options(entry, "q"))

    def test_results_of_other_programs_are_not_mixed(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "r.json")
            results.Results(path, {"programs": {"maru": {"sha256": 1, "commit": "a"}}}).save()
            results.Results(path, {"programs": {"maru": {"sha256": 1, "commit": "b"}}})
            with self.assertRaisesRegex(ValueError, "another 'programs'"):
                results.Results(path, {"programs": {"maru": {"sha256": 2, "commit": "a"}}})

    def test_each_peer_is_paired_with_ours_of_its_blocks(self):
        entry = data([block(run("maru", 20), run("a", 10), run("b", 40), run("maru", 20)),
                      block(run("maru", 30), run("a", 10), run("maru", 30))])["cells"][0]
        self.assertAlmostEqual(results.summarize(entry, "a")["ratio"], 6 ** 0.5)
        self.assertAlmostEqual(results.summarize(entry, "b")["ratio"], 0.5)
        self.assertIsNone(results.summarize(entry, "c"))

    def test_the_table_tells_of_disturbed_runs(self):
        text = results.markdown(data([block(run("maru", 20, others_cpu=0.5, process_seconds=9), run("a", 10))]))
        self.assertIn("| smollm2:135m | decode at 0 | 2 | 20.0 | a |  | 10.0 | 2.00 | one block | 1 |", text)
        self.assertIn("In 1 runs other programs used more than 3 %", text)


class Report(unittest.TestCase):
    def test_losses_are_named(self):
        blocks = [block(run("maru", 300), run("llama.cpp", 100), run("ik_llama.cpp", 400), run("maru", 300))] * 5
        files = [data(blocks)]
        self.assertIn("3.00 (3.00–3.00); goal 2.3 reached", report.goal_table(files))
        self.assertIn("**slower**, goal 1.4 missed", report.goal_table(files))
        self.assertIn("1 goals are missed, in 1 of them Maru is the slower", report.losses(files))
        self.assertIn("0.75 of ik_llama.cpp, goal 1.4", report.losses(files))

    def test_the_part_of_the_roof(self):
        files = [data([block(run("maru", 300))])]
        self.assertAlmostEqual(report.part_of_roof(files[0]["cells"][0], files[0]["models"]["smollm2:135m"]), 0.75)

    def test_nothing_is_made_up(self):
        self.assertEqual(report.losses([]), "Nothing is measured yet.")
        self.assertEqual(report.goal_table([]).count("not measured"), 3 * len(goals.GOALS))
        self.assertIsNone(roofline.draw([]))

    def test_a_section_is_filled_and_nothing_else(self):
        text = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n"
        self.assertEqual(report.fill(text, "x", "new"), "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n")
        with self.assertRaises(ValueError):
            report.fill("nothing", "x", "new")

    def test_a_point_lies_where_its_cell_says(self):
        files = [data([block(run("maru", 300))], cell="decode:32x4")]
        at = roofline.point(files[0]["cells"][0], files[0]["models"]["smollm2:135m"], "maru")
        self.assertAlmostEqual(at[0], 4 * 2 * 130e6 / 100e6)
        self.assertAlmostEqual(at[1] / (300 * 2 * 130e6), 1)
        self.assertTrue(roofline.draw(files).startswith("<svg "))


if __name__ == "__main__":
    unittest.main()
