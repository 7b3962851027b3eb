#!/usr/bin/python3
"""redis: every type of value, redis-benchmark (get, set, lpush, sort), a save and a reload.

Debian's redis-server brings jemalloc along; preloaded, malloc is the library's all the same.
"""

import contextlib
import re
import socket
import time

import compare

BENCHMARK_COMMANDS = ["set", "get", "lpush", "lrange_100", "sadd", "hset", "zadd"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def commands():
    """The data, made by commands alone: all of redis' types in small and large forms."""
    for i in range(20000):
        yield f"SET key:{i} {'v' * (i % 700)}{i}"
        yield f"LPUSH numbers {i * 7919 % 100003}"
        yield f"HSET hash:{i % 50} field:{i} {i * 31}"
        if i % 2:
            yield f"SADD set:{i % 7} member:{i * 17 % 5003}"
            yield f"ZADD sorted {i * 7919 % 10007} member:{i}"
        if i % 5 == 0:
            yield f"APPEND text {i}"
            yield f"DEL key:{i * 3 % 20000}"
        if i % 100 == 0:
            yield f"SETRANGE big:{i} {i * 20} end"
            yield f"XADD stream {i + 1}-0 field {i}"


def encoded(lines):
    """redis' own protocol, as `redis-cli --pipe` wants it."""
    out = []
    for line in lines:
        words = line.split(" ")
        out.append(f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words))
    return "".join(out).encode()


def make_inputs(folder):
    with open(f"{folder}/commands", "wb") as file:
        file.write(encoded(commands()))


def without_rates(text):
    """redis-benchmark's lines end in the rate: the names stay."""
    return re.sub(rb"(?m)^(?:.*\r)?([^:\r\n]+):.*$", rb"\1", text)


def read(path):
    with open(path, "rb") as file:
        return file.read()


@contextlib.contextmanager
def server(this, name):
    """A server on a port of its own; gives a function that runs one redis-cli command."""
    log = f"{name}.log"
    for _ in range(10):  # another process may take the port in between
        port = str(free_port())
        process = this.start(
            ["redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", this.work_dir,
             "--save", "", "--dbfilename", "dump.rdb", "--enable-debug-command", "local",
             "--io-threads", "2"], log)
        while process.poll() is None and b"Ready to accept" not in read(this.path(log)):
            time.sleep(0.02)
        if process.poll() is None or b"Address already in use" not in read(this.path(log)):
            break

    def cli(title, *arguments, **options):
        return this.run(f"{name}: {title}", ["redis-cli", "-p", port, *arguments], **options)

    cli.port = port
    try:
        yield cli
    except BaseException:
        process.kill()
        process.wait()
        raise
    # SHUTDOWN or SIGTERM: both end the server with status 0.
    this.stop(process, log)


def scenario(this):
    rate = without_rates
    with server(this, "first") as cli:
        with open(this.input("commands"), "rb") as stream:
            cli("load", "--pipe", stdin=stream)
        cli("digest of the data", "DEBUG", "DIGEST")
        cli("sort", "SORT", "numbers", "LIMIT", "0", "5000")
        cli("sort by", "SORT", "numbers", "BY", "nosort", "GET", "key:*", "LIMIT", "0", "2000")
        cli("sort and store", "SORT", "numbers", "DESC", "STORE", "kept")
        cli("range", "LRANGE", "kept", "0", "1000")
        cli("script", "EVAL", "local s = 0 for i, v in ipairs(redis.call('LRANGE', 'kept', 0, -1)) "
            "do s = (s * 31 + tonumber(v)) % 1000003 end return s", "0")
        requests = "300000" if this.long else "20000"
        benchmark = ["redis-benchmark", "-p", cli.port, "-q", "-n", requests, "-r", "5000",
                     "-P", "4"]
        this.run("benchmark", [*benchmark, "-d", "100", "-t", ",".join(BENCHMARK_COMMANDS)],
                 normalise=rate)
        this.run("benchmark of sort",
                 ["redis-benchmark", "-p", cli.port, "-q", "-n", "100", "--threads", "2",
                  "SORT", "numbers", "LIMIT", "0", "10"], normalise=rate)
        this.run("benchmark of large values",
                 [*benchmark[:5], "2000", "-d", "100000", "-t", "set,get", "-r", "100"],
                 normalise=rate)
        # redis-benchmark's keys are random, so the digest now is this pass's own.
        before = cli("digest", "DEBUG", "DIGEST", normalise=lambda text: b"")
        cli("save in a child", "BGSAVE")
        while b"rdb_bgsave_in_progress:1" in this.run(
                "wait", ["redis-cli", "-p", cli.port, "INFO", "persistence"],
                normalise=lambda text: b""):
            for what in ("stdout", "stderr", "status"):
                this.kept.pop(f"wait {what}")
            time.sleep(0.05)
        cli("save", "SAVE")
        cli("shutdown", "SHUTDOWN", "NOSAVE")
    with server(this, "second") as cli:
        if cli("digest", "DEBUG", "DIGEST", normalise=lambda text: b"") != before:
            raise compare.Failure("the digest after the reload is not that before it")
        cli("flush", "FLUSHALL")
        cli("size", "DBSIZE")


if __name__ == "__main__":
    compare.main(scenario, make_inputs, needs=["redis-server", "redis-cli", "redis-benchmark"])
