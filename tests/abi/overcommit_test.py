#!/usr/bin/python3
"""The small program under vm.overcommit_memory=2, where every writable page must be backed.

Needs root. Changes the setting of the whole machine for the second that the program runs, leaves
room for what runs beside it, and always puts it back.
"""

import os
import signal
import sys

import child

SETTING = "/proc/sys/vm/overcommit_memory"
RATIO = "/proc/sys/vm/overcommit_ratio"


def read(path):
    with open(path) as file:
        return file.read().strip()


def write(path, value):
    with open(path, "w") as file:
        file.write(value)


def committed_kilobytes():
    with open("/proc/meminfo") as file:
        rows = dict(line.split(":") for line in file)
    return int(rows["Committed_AS"].split()[0]), int(rows["MemTotal"].split()[0])


def main():
    options = child.read_options(__doc__)
    if os.geteuid() != 0 or not os.access(SETTING, os.W_OK):
        print("skipped: only root may change vm.overcommit_memory")
        sys.exit(77)
    # An end by a signal must put the setting back as well.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    before, ratio_before = read(SETTING), read(RATIO)
    committed, total = committed_kilobytes()
    # What is committed now and 8 GB more: room for what runs beside, none for a window of TiBs.
    ratio = 100 * (committed + (8 << 20)) // total + 1
    errors = []
    try:
        write(RATIO, str(ratio))
        write(SETTING, "2")
        done = child.run(options, ["run"])
        if done.returncode != 0 or done.stdout != b"ok\n" or done.stderr:
            errors.append(f"run: {child.describe(done)}")
    finally:
        write(SETTING, before)
        write(RATIO, ratio_before)
    if (read(SETTING), read(RATIO)) != (before, ratio_before):
        errors.append("the setting is not restored")
    child.verdict(1, errors)


if __name__ == "__main__":
    main()
