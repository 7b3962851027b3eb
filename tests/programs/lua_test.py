#!/usr/bin/python3
"""lua: tables, strings, closures, coroutines and a collector that works all the time."""

import os

import compare

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inputs", "work.lua")


def scenario(this):
    this.run("work", ["lua5.4", SCRIPT, "incremental"])
    this.run("work, generational", ["lua5.4", SCRIPT, "generational"])


if __name__ == "__main__":
    compare.main(scenario, needs=["lua5.4"])
