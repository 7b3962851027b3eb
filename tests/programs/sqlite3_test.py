#!/usr/bin/python3
"""sqlite3: 100,000 rows, joins, aggregates, windows, vacuum; the database file compared too."""

import os

import compare

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inputs", "work.sql")


def scenario(this):
    with open(SCRIPT, "rb") as script:
        this.run("work", ["sqlite3", "-batch", "-bail", "work.db"], stdin=script)
    this.run("integrity", ["sqlite3", "work.db", "pragma integrity_check"])
    this.run("dump", ["sqlite3", "work.db", ".dump"])
    this.keep_file("work.db")


if __name__ == "__main__":
    compare.main(scenario, needs=["sqlite3"])
