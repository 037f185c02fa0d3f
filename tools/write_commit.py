#!/usr/bin/env python3
"""Writes a C++ source with the commit of a checkout: write_commit.py CHECKOUT OUT.

The commit is "unknown" where this is no git checkout, and ends in "-dirty" where tracked files were
changed. OUT is left alone where it says so already, so that nothing is compiled again.
"""
import pathlib
import subprocess
import sys


def commit_of(checkout):
    command = ["git", "-C", checkout, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return result.stdout.strip() if result.returncode == 0 else "unknown"


def source_text(commit):
    return ('#include "app/build.h"\n\n'
            "namespace maru::app {\n"
            f'const std::string_view kCommit = "{commit}";\n'
            "}  // namespace maru::app\n")


def main(checkout, out):
    path = pathlib.Path(out)
    text = source_text(commit_of(checkout))
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
