#!/usr/bin/env python3
"""The parts of scripts/bench that a shell does badly. Standard library only.

measure.py run NAME FILE LOG -- COMMAND…    runs it, its output to LOG; appends what it took to FILE, a JSON line
measure.py watch FILE UNTIL LOG -- COMMAND…  runs `migrate --json`, its stderr to LOG; writes to FILE when its
                                            lines came; UNTIL: "all", or "first-row" to kill -9 it there
measure.py cql ADDRESS STATEMENT            runs one CQL statement; prints rows, tabs between columns
measure.py table FILE ROWS                  the results in FILE as a Markdown table
measure.py rows SHAPE FILE ROWS BYTES       the same as rows of a table of several shapes, without its head
measure.py figures FILE…                    median and range of each number in the files of `watch`
measure.py splice README NAME [--check]     puts stdin between the NAME:begin and NAME:end lines
"""

import json
import os
import pathlib
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

SAMPLE = 0.1  # seconds between two looks at the memory
SCAN = 1.0  # seconds between two looks for new processes; a look reads all of /proc


def fail(message):
    sys.exit(f"measure: {message}")


# --------------------------------------------------------------------------------------------------
# Running and measuring


class Memory(threading.Thread):
    """The highest resident memory of all processes of a session at the same time, in KiB."""

    def __init__(self, session):
        super().__init__(daemon=True)
        self.session = session
        self.peak = 0
        self.ended = threading.Event()

    def run(self):
        pids, scanned = [], 0.0
        while True:
            if time.monotonic() - scanned >= SCAN:
                pids, scanned = self.processes(), time.monotonic()
            seen = [status(pid) for pid in pids]
            # Nobody can have used less than the highest that the kernel noted for one process.
            self.peak = max([self.peak, sum(rss for rss, _ in seen), *(high for _, high in seen)])
            if self.ended.wait(SAMPLE):
                return

    def processes(self):
        found = []
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                try:
                    stat = pathlib.Path(entry.path, "stat").read_text()
                except OSError:  # It is gone already.
                    continue
                # The name, in parentheses, may hold anything; then state, parent, group, session.
                if int(stat.rpartition(")")[2].split()[3]) == self.session:
                    found.append(entry.name)
        return found


def status(pid):
    """VmRSS and VmHWM of a process in KiB, zeros if it is gone."""
    rss = high = 0
    try:
        for line in pathlib.Path("/proc", pid, "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                rss = int(line.split()[1])
            elif line.startswith("VmHWM:"):
                high = int(line.split()[1])
    except OSError:
        pass
    return rss, high


def start(command, **options):
    """Starts the command in a session of its own, so that its whole tree can be found and ended."""
    try:
        return subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, **options)
    except OSError as error:
        fail(f"can't run {command[0]}: {error}")


def kill(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def reap(process):
    """Waits for it: exit code, and what it and the descendants that it waited for used."""
    _, wait_status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(wait_status)  # Popen must not wait again.
    return process.returncode, usage


def run(name, file, log, command):
    with open(log, "wb") as output:
        began = time.monotonic()
        process = start(command, stdout=output, stderr=subprocess.STDOUT)
    memory = Memory(process.pid)
    memory.start()
    try:
        code, usage = reap(process)
    except BaseException:
        kill(process)
        raise
    wall = time.monotonic() - began
    memory.ended.set()
    memory.join()
    result = {"name": name, "wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "rss_kib": memory.peak, "exit": code}
    with open(file, "a", encoding="utf-8") as out:
        print(json.dumps(result), file=out)
    print(f"{name}: {wall:.1f} s, {result['cpu']:.1f} CPU-s, {memory.peak / 1024:.0f} MiB, exit {code}", file=sys.stderr)
    return code if code >= 0 else 128 - code


def watch(file, until, log, command):
    kill_at_first_row = until == "first-row"
    with open(log, "wb") as errors:
        began = time.monotonic()
        process = start(command, stdout=subprocess.PIPE, stderr=errors)
    seen = {}
    try:
        for line in process.stdout:
            now = time.monotonic() - began
            # There may be a line per range, a million of them: only these are worth parsing.
            if not any(word in line for word in (b"progress", b"resumed", b"planned", b"finished")):
                continue
            try:
                event = json.loads(line)
            except ValueError:
                continue
            kind = event.get("type")
            if kind in ("resumed", "planned"):
                seen.setdefault(f"{kind}_s", now)
                seen.setdefault("ranges", event.get("ranges"))
            elif kind == "progress" and event.get("rows_written", 0) > 0 and "first_row_s" not in seen:
                seen["first_row_s"] = now
                if kill_at_first_row:
                    break
            elif kind == "finished":
                seen["finished"] = event
        if kill_at_first_row:
            kill(process)
        code, _ = reap(process)
    except BaseException:
        kill(process)
        raise
    seen.update(exit=code, wall_s=time.monotonic() - began)
    pathlib.Path(file).write_text(json.dumps(seen) + "\n", encoding="utf-8")
    if kill_at_first_row:
        if "first_row_s" not in seen:
            fail(f"it ended with exit code {code} before it had written a row")
        return 0
    return code if code >= 0 else 128 - code


# --------------------------------------------------------------------------------------------------
# CQL, as little as it takes: native protocol v4, no login, values of type text


def cql(address, statement):
    try:
        connection = socket.create_connection((address, 9042), timeout=10)
    except OSError as error:
        fail(f"can't reach {address}: {error}")
    with connection:
        connection.settimeout(120)  # TRUNCATE may take its time.
        stream = connection.makefile("rb")

        def exactly(count):
            data = stream.read(count)
            if len(data) < count:
                fail(f"{address} closed the connection")
            return data

        def call(opcode, body):
            connection.sendall(struct.pack(">BBhBi", 4, 0, 0, opcode, len(body)) + body)
            _, _, _, answer, length = struct.unpack(">BBhBi", exactly(9))
            data = exactly(length)
            if answer == 0:  # ERROR: a code, then a string
                fail(f"{address}: {data[6:].decode(errors='replace')}; the statement was: {statement}")
            return answer, data

        answer, _ = call(1, b"\0\1\0\x0bCQL_VERSION\0\x053.0.0")  # STARTUP
        if answer != 2:  # READY
            fail(f"{address} asks for a login")
        text = statement.encode()
        # QUERY at consistency ONE, no flags
        _, data = call(7, struct.pack(">i", len(text)) + text + b"\0\1\0")

    def take(form):
        nonlocal data
        size = struct.calcsize(form)
        values = struct.unpack(form, data[:size])
        data = data[size:]
        return values

    def take_bytes(length):
        nonlocal data
        value, data = data[:length], data[length:]
        return value

    (kind,) = take(">i")
    if kind != 2:  # Rows
        return
    flags, columns = take(">ii")
    if flags & ~1:
        fail("only short answers are understood")
    for _ in range(2 if flags & 1 else 0):  # keyspace and table, once for all columns
        take_bytes(*take(">h"))
    for _ in range(columns):
        take_bytes(*take(">h"))
        if take(">h") != (13,):
            fail("only columns of type text are understood")
    for _ in range(*take(">i")):
        print(*(take_bytes(max(0, *take(">i"))).decode() for _ in range(columns)), sep="\t")


# --------------------------------------------------------------------------------------------------
# Tables


def spread(values, form):
    """The median, and the range if there is one."""
    low, middle, high = (format(of(values), form) for of in (min, statistics.median, max))
    return middle if low == high else f"{middle} ({low}–{high})"


def results(file):
    """By contender, in order of appearance: its runs, and the verdict on its copy."""
    runs, checks = {}, {}
    for line in pathlib.Path(file).read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if "check" in entry:
            checks[entry["name"]] = entry["check"]
        else:
            runs.setdefault(entry["name"], []).append(entry)
    return {name: (runs.get(name, []), checks.get(name, "not checked")) for name in {**runs, **checks}}


def table(file, rows):
    found = results(file)
    medians = {name: [statistics.median(r[key] for r in of) for key in ("wall", "cpu")] for name, (of, _) in found.items()}
    print("| contender | wall s, median (range) | rows/s | CPU-s | CPU-s per million rows | peak RSS MiB | wall ratio | CPU ratio | result |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    for name, (of, check) in found.items():
        wall, cpu = medians[name]
        ratios = ["–", "–"]
        if "migrate" in medians:
            ratios = [f"{mine / base:.2f}" if base else "–" for mine, base in zip((wall, cpu), medians["migrate"])]
        cells = [
            name,
            spread([r["wall"] for r in of], ".1f"),
            f"{rows / wall:,.0f}",
            f"{cpu:.1f}",
            f"{cpu / rows * 1e6:.1f}",
            f"{max(r['rss_kib'] for r in of) / 1024:.0f}",
            *ratios,
            check,
        ]
        print("|", " | ".join(cells), "|")


def shape_rows(shape, file, rows, size):
    mib = size / 2**20
    for name, (of, check) in results(file).items():
        cells = [shape, f"{rows:,}", f"{mib:,.0f}", name]
        if of:
            wall, cpu = (statistics.median(r[key] for r in of) for key in ("wall", "cpu"))
            rss = max(r["rss_kib"] for r in of) / 1024
            walls = spread([r["wall"] for r in of], ".1f")
            cells += [walls, f"{rows / wall:,.0f}", f"{mib / wall:,.1f}", f"{cpu:.1f}", f"{rss:.0f}"]
        else:
            cells += ["–"] * 5
        print("|", " | ".join([*cells, check]), "|")


def figures(files):
    found = {}
    for file in files:
        entry = json.loads(pathlib.Path(file).read_text(encoding="utf-8"))
        finished = entry.pop("finished", {})
        entry.update(finished)
        if {"commit_us", "elapsed_ms"} <= entry.keys():
            entry["commit_ms"] = entry["commit_us"] / 1000
            entry["elapsed_s"] = entry["elapsed_ms"] / 1000
            entry["commit_percent"] = entry["commit_ms"] / entry["elapsed_ms"] * 100 if entry["elapsed_ms"] else 0.0
        for key, value in entry.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                found.setdefault(key, []).append(value)
    for key, values in found.items():
        print(key, spread(values, ",.2f" if any(isinstance(v, float) for v in values) else ",.0f"), sep="\t")


def splice(file, name, check_only):
    path = pathlib.Path(file)
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as error:
        fail(error)
    begin, end = (f"<!-- {name}:{where} -->" for where in ("begin", "end"))
    marks = [[i for i, line in enumerate(lines) if line.strip() == mark] for mark in (begin, end)]
    if [len(found) for found in marks] != [1, 1] or marks[0] > marks[1]:
        fail(f"{file} must have the lines {begin} and {end} once each, in this order")
    if check_only:
        return
    (first,), (last,) = marks
    text = "".join(lines[: first + 1]) + sys.stdin.read().strip("\n") + "\n" + "".join(lines[last:])
    temp = path.with_name(path.name + ".new")
    temp.write_text(text, encoding="utf-8")
    temp.chmod(path.stat().st_mode)
    temp.replace(path)


def main(arguments):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, command = arguments[:cut], arguments[cut + 1 :]
    else:
        command = []
    match arguments:
        case ["run", name, file, log] if command:
            return run(name, file, log, command)
        case ["watch", file, "all" | "first-row" as until, log] if command:
            return watch(file, until, log, command)
        case ["cql", address, statement]:
            return cql(address, statement)
        case ["table", file, rows]:
            return table(file, int(rows))
        case ["figures", *files] if files:
            return figures(files)
        case ["rows", shape, file, rows, size]:
            return shape_rows(shape, file, int(rows), int(size))
        case ["splice", file, name]:
            return splice(file, name, check_only=False)
        case ["splice", file, name, "--check"]:
            return splice(file, name, check_only=True)
    sys.exit(__doc__.strip())


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        fail(error)
