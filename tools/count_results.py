#!/usr/bin/env python3
"""Counts what test programs report; used by ./test for its closing line.

Usage: count_results.py FILE...; a FILE is a JUnit XML (ctest, pytest) or a log whose last line of the
form `N passed, N failed[, N skipped]` counts (the page's tests). A missing or unreadable file counts as
one failure, and so does a JUnit file without a case: a stage that died or ran nothing did not pass. Prints `PASSED FAILED SKIPPED`.
"""
import re
import sys
import xml.etree.ElementTree as ElementTree

COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # some tools colour what they print wherever CI is set
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.MULTILINE)


def count_junit(path):
    """(passed, failed, skipped) of the test cases in a JUnit file."""
    passed = failed = skipped = 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
            failed += 1
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
    if passed + failed + skipped == 0:
        return 0, 1, 0
    return passed, failed, skipped


def count_log(path):
    """The last closing line of a log; a failure where there is none."""
    with open(path, encoding="utf-8", errors="replace") as log:
        lines = CLOSING.findall(COLOUR.sub("", log.read()))
    if not lines:
        return 0, 1, 0
    return tuple(int(n or 0) for n in lines[-1])


def count(path):
    """(passed, failed, skipped) of one file of either kind."""
    try:
        return count_junit(path) if path.endswith(".xml") else count_log(path)
    except (OSError, ElementTree.ParseError):
        return 0, 1, 0


if __name__ == "__main__":
    print(*(sum(column) for column in zip((0, 0, 0), *map(count, sys.argv[1:]))))
