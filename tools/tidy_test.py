#!/usr/bin/env python3
"""Tests of tidy.py: each rule finds its breach, and clean code passes."""
import pathlib
import tempfile
import unittest

import tidy


class TidyTest(unittest.TestCase):
    def findings(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return tidy.check(root)

    def test_downward_include_is_clean(self):
        self.assertEqual(self.findings({"src/model/a.cc": '#include "gguf/file.h"\n#include "model/b.h"\n'}), [])

    def test_upward_include_is_found(self):
        found = self.findings({"src/text/a.cc": '#include "serve/http.h"\n'})
        self.assertEqual(found, ["src/text/a.cc:1: text/ (2) must not include serve/ (9)"])

    def test_equal_include_is_found(self):
        self.assertEqual(len(self.findings({"src/gguf/a.h": '#  include "text/vocab.h"\n'})), 1)

    def test_long_line_and_long_file(self):
        self.assertEqual(len(self.findings({"src/base/a.cc": "x" * 101 + "\n"})), 1)
        self.assertEqual(len(self.findings({"src/base/a.cc": "\n" * 801})), 1)

    def test_coroutine_outside_serve(self):
        self.assertEqual(len(self.findings({"src/engine/a.cc": "co_await x;\n"})), 1)
        self.assertEqual(self.findings({"src/serve/a.cc": "co_await x;\n"}), [])

    def test_printing_outside_app(self):
        self.assertEqual(len(self.findings({"src/engine/a.cc": "std::cout << 1; getenv(\"X\");\n"})), 1)
        self.assertEqual(self.findings({"src/app/a.cc": "std::cout << 1;\n"}), [])
        self.assertEqual(self.findings({"src/engine/a.cc": "// exit(1) is not called here\n"}), [])
        self.assertEqual(self.findings({"src/engine/a.cc": 'f("exit(1)");\n'}), [])

    def test_unknown_folder(self):
        self.assertEqual(len(self.findings({"src/misc/a.cc": "\n"})), 1)


if __name__ == "__main__":
    unittest.main()
