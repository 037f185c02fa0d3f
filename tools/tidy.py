#!/usr/bin/env python3
"""Checks the house rules that a compiler does not know; run by ctest as `tidy`, tested by tidy_test.py.

Rules: a folder of src/ includes only folders with a smaller number (docs/architecture.md); equals never
include each other; lines of C++ have at most 100 characters; a source file has at most 800 lines; no
coroutine outside serve/ and link/; nothing but app/ reads the environment, prints or exits.
Usage: tidy.py ROOT. Exit code 0, or 1 with one line per finding on standard output.
"""
import pathlib
import re
import sys

LAYERS = {
    "base": 0, "tensor": 1, "kernels": 2, "gguf": 2, "text": 2, "grammar": 2, "model": 3, "media": 3, "importer": 3, "engine": 4,
    "store": 4, "hub": 5, "link": 5, "retrieval": 6, "tools": 6, "platform": 7, "agent": 8,
    "serve": 9, "app": 10,
}
LINE_MAX = 100
FILE_LINES_MAX = 800
# Path -> why it may be longer than FILE_LINES_MAX (tables and generated code only).
LONG_FILES = {}
# Path -> why it may do what only app/ may.
SYSTEM_CALLERS = {
    "src/base/check.cc": "a failed CHECK prints and aborts",
    "src/link/process_client.cc": "a child that cannot become the engine must not return",
}
FORBIDDEN_OUTSIDE_APP = re.compile(
    r"\b(getenv|setenv|exit|_exit|quick_exit)\s*\(|\bstd::(cout|cerr)\b|\b(?:std::)?f?printf\s*\(")
COROUTINE = re.compile(r"\bco_(await|return|yield)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z]+)/')


def without_comments_and_strings(line):
    line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
    return line.split("//")[0]


def check_file(root, path):
    """Yields one message per finding in one C++ file."""
    name = path.relative_to(root).as_posix()
    folder = path.relative_to(root / "src").parts[0]
    is_test = path.stem.endswith(("_test", "_fuzz", "_bench"))
    lines = path.read_text(encoding="utf-8").splitlines()
    if len(lines) > FILE_LINES_MAX and name not in LONG_FILES:
        yield f"{name}: {len(lines)} lines, more than {FILE_LINES_MAX}"
    for number, line in enumerate(lines, 1):
        where = f"{name}:{number}"
        if len(line) > LINE_MAX:
            yield f"{where}: {len(line)} characters, more than {LINE_MAX}"
        include = INCLUDE.match(line)
        if include and include[1] in LAYERS and include[1] != folder:
            if LAYERS[include[1]] >= LAYERS[folder]:
                yield f"{where}: {folder}/ ({LAYERS[folder]}) must not include {include[1]}/ ({LAYERS[include[1]]})"
        code = without_comments_and_strings(line)
        if COROUTINE.search(code) and folder not in ("serve", "link"):
            yield f"{where}: coroutines live in serve/ and link/ only"
        if folder != "app" and not is_test and name not in SYSTEM_CALLERS:
            if FORBIDDEN_OUTSIDE_APP.search(code):
                yield f"{where}: only app/ prints, exits or reads the environment"


def check(root):
    """All findings below root/src, in path order."""
    findings = []
    for path in sorted((root / "src").rglob("*")):
        if path.suffix not in (".h", ".cc"):
            continue
        if path.relative_to(root / "src").parts[0] not in LAYERS:
            findings.append(f"{path.relative_to(root).as_posix()}: folder has no number in tidy.py")
            continue
        findings.extend(check_file(root, path))
    return findings


if __name__ == "__main__":
    found = check(pathlib.Path(sys.argv[1]))
    print("\n".join(found) if found else "tidy: no findings")
    sys.exit(1 if found else 0)
