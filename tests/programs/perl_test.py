#!/usr/bin/python3
"""perl: hashes, strings, regular expressions, sorting, deep structures, fork."""

import os

import compare

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inputs", "work.pl")


def scenario(this):
    this.run("work", ["perl", SCRIPT, "2" if this.long else "1"])


if __name__ == "__main__":
    compare.main(scenario, needs=["perl"])
