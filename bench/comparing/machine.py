"""What this machine is, how busy it is, and processes that are run and watched on it."""
import os
import pathlib
import platform
import subprocess
import tempfile
import threading
import time

CPU_FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")
RUN_SECONDS_MAX = 3600
OUTPUT_BYTES_MAX = 64 << 20


class RunError(Exception):
    """A program that failed; the message has its last words."""


def describe():
    """The processor by its CPUID fields, cores, memory, kernel, huge pages."""
    cpu = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        cpu[key.strip()] = value.strip()
    flags = cpu.get("flags", "").split()
    huge_pages = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return {
        "cpu": cpu.get("model name", "unknown"),
        "cpuid": {"vendor": cpu.get("vendor_id"), "family": cpu.get("cpu family"),
                  "model": cpu.get("model"), "stepping": cpu.get("stepping"),
                  "microcode": cpu.get("microcode")},
        "cpu_flags": [flag for flag in CPU_FLAGS if flag in flags],
        "cache": cpu.get("cache size"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "transparent_huge_pages": huge_pages.read_text().strip() if huge_pages.exists() else None,
    }


def parse_cpu_times(text):
    """(all, busy, stolen) seconds since boot of all cores, from /proc/stat."""
    ticks = [int(word) for word in text.splitlines()[0].split()[1:9]]
    user, nice, system, idle, iowait, irq, softirq, steal = ticks
    busy = user + nice + system + irq + softirq
    scale = os.sysconf("SC_CLK_TCK")
    return (busy + idle + iowait + steal) / scale, busy / scale, steal / scale


def cpu_times():
    return parse_cpu_times(pathlib.Path("/proc/stat").read_text(encoding="utf-8"))


def run(arguments, marker=None):
    """Runs a program to its end and gives what it said and what it cost.

    marker_seconds: from its start to the first line of its output that has `marker`. others_cpu and
    stolen_cpu: parts of all cores that other programs, and other guests of the host, had meanwhile.
    """
    all_before, busy_before, stolen_before = cpu_times()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as errors:
        with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=errors, cwd=folder) as child:  # some leave logs where they run
            killer = threading.Timer(RUN_SECONDS_MAX, child.kill)
            killer.start()
            try:
                output, marker_seconds = read_output(child, marker, begin)
                _, status, usage = os.wait4(child.pid, 0)
            except BaseException:
                child.kill()
                raise
            finally:
                killer.cancel()
            child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begin
        errors.seek(0)
        error_text = errors.read(OUTPUT_BYTES_MAX).decode(errors="replace")
    if child.returncode != 0:
        last = " / ".join((error_text.strip() or output.strip()).splitlines()[-3:])
        raise RunError(f"{arguments[0]} ended with {child.returncode}: {last}")
    all_after, busy_after, stolen_after = cpu_times()
    cpu_seconds = usage.ru_utime + usage.ru_stime
    elapsed = max(all_after - all_before, 1e-9)
    return {
        "output": output, "errors": error_text, "seconds": seconds,
        "marker_seconds": marker_seconds, "cpu_seconds": cpu_seconds,
        "peak_memory_bytes": usage.ru_maxrss * 1024,
        "others_cpu": max(0.0, (busy_after - busy_before - cpu_seconds) / elapsed),
        "stolen_cpu": (stolen_after - stolen_before) / elapsed,
    }


def read_output(child, marker, begin):
    """All lines, and when the first with the marker came."""
    lines, size, marker_seconds = [], 0, None
    for line in child.stdout:
        if marker and marker_seconds is None and marker.encode() in line:
            marker_seconds = time.monotonic() - begin
        size += len(line)
        if size > OUTPUT_BYTES_MAX:
            raise RunError(f"{child.args[0]} printed more than {OUTPUT_BYTES_MAX >> 20} MiB")
        lines.append(line.decode(errors="replace"))
    return "".join(lines), marker_seconds
