#!/usr/bin/env python3
"""Tests of embed_page.py: what is packed is what was in the folder."""
import gzip
import pathlib
import re
import tempfile
import unittest

import embed_page


class EmbedPageTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dist = pathlib.Path(folder.name) / "dist"
        self.out = pathlib.Path(folder.name) / "out"

    def rows(self):
        """(path, encoding, bytes) as the generated source lists them."""
        source = (self.out / "page_files.cc").read_text()
        blob = (self.out / "page.bin").read_bytes()
        found = re.findall(r'\{"([^"]+)", "[^"]+", "([^"]*)", "[^,]+,\s+\{maru_page_bytes \+ (\d+), (\d+)\}', source)
        return [(path, encoding, blob[int(at):int(at) + int(size)]) for path, encoding, at, size in found]

    def test_missing_folder_gives_an_empty_list(self):
        self.assertEqual(embed_page.embed(self.dist, self.out), 0)
        self.assertEqual(self.rows(), [])

    def test_plain_and_compressed(self):
        (self.dist / "assets").mkdir(parents=True)
        html, script = b"<p>" * 500, b"let x = 1;\n" * 500
        (self.dist / "index.html").write_bytes(html)
        (self.dist / "assets/app.js").write_bytes(script)
        (self.dist / "assets/app.js.br").write_bytes(b"brotli")
        (self.dist / "assets/dot.png").write_bytes(b"\x89PNG" + bytes(2000))
        self.assertEqual(embed_page.embed(self.dist, self.out), 6)
        rows = self.rows()
        self.assertEqual([row[:2] for row in rows],
                         [("/assets/app.js", ""), ("/assets/app.js", "br"), ("/assets/app.js", "gzip"),
                          ("/assets/dot.png", ""), ("/index.html", ""), ("/index.html", "gzip")])
        self.assertEqual(rows[0][2], script)
        self.assertEqual(rows[1][2], b"brotli")
        self.assertEqual(gzip.decompress(rows[2][2]), script)
        self.assertEqual(gzip.decompress(rows[5][2]), html)

    def test_unknown_type_is_refused(self):
        self.dist.mkdir()
        (self.dist / "a.exe").write_bytes(b"MZ")
        with self.assertRaises(SystemExit):
            embed_page.embed(self.dist, self.out)


if __name__ == "__main__":
    unittest.main()
