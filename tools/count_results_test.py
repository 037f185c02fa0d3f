#!/usr/bin/env python3
"""Tests count_results.py: a stage that died must never look like one that passed."""
import pathlib
import tempfile
import unittest

import count_results

JUNIT = """<testsuite tests="4"><testcase name="a"/><testcase name="b"><failure message="x"/></testcase>
<testcase name="c"><skipped/></testcase><testcase name="d" status="fail"/></testsuite>"""


class CountResults(unittest.TestCase):
    def count(self, name, text):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / name
            path.write_text(text, encoding="utf-8")
            return count_results.count(str(path))

    def test_junit_cases_are_counted_by_outcome(self):
        self.assertEqual(self.count("r.xml", JUNIT), (1, 2, 1))

    def test_a_cut_junit_file_is_a_failure(self):
        self.assertEqual(self.count("r.xml", JUNIT[:40]), (0, 1, 0))

    def test_a_missing_file_is_a_failure(self):
        self.assertEqual(count_results.count("/nonexistent.xml"), (0, 1, 0))

    def test_the_last_closing_line_of_a_log_counts(self):
        self.assertEqual(self.count("a.log", "9 passed, 9 failed\nx\n3 passed, 0 failed, 2 skipped\n"), (3, 0, 2))

    def test_colours_do_not_hide_the_closing_line(self):
        self.assertEqual(self.count("a.log", "\x1b[32mfine\n\x1b[39m1 passed, 0 failed\n"), (1, 0, 0))

    def test_a_suite_without_a_case_is_a_failure(self):
        self.assertEqual(self.count("r.xml", '<testsuite tests="0"></testsuite>'), (0, 1, 0))

    def test_a_log_without_closing_line_is_a_failure(self):
        self.assertEqual(self.count("a.log", "all is well\n"), (0, 1, 0))


if __name__ == "__main__":
    unittest.main()
