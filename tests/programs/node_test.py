#!/usr/bin/python3
"""node: worker threads that allocate, compress, parse and pass buffers to each other."""

import os

import compare

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inputs", "work.js")


def scenario(this):
    this.run("work", ["node", SCRIPT, "8" if this.long else "4"])


if __name__ == "__main__":
    compare.main(scenario, needs=["node"])
