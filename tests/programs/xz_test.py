#!/usr/bin/python3
"""xz: compression with one and with several threads, decompression, and a test of the result."""

import hashlib

import compare


def make_inputs(folder):
    """24 MB, half text that repeats, half noise."""
    with open(f"{folder}/data", "wb") as file:
        for i in range(24 * 16):
            block = hashlib.sha512(str(i // 3).encode()).digest()
            if i % 2:
                file.write(b"".join(hashlib.sha512(block + bytes([j % 256, j // 256])).digest()
                                    for j in range(1024)))
            else:
                file.write((block.hex() + " lines of text that repeat\n").encode()[:64] * 1024)


def scenario(this):
    data = this.input("data")
    this.run("one thread", ["xz", "-2", "-k", "-c", data])
    threaded = this.run("threads", ["xz", "-T4", "-1", "--block-size=2MiB", "-k", "-c", data])
    with open(this.path("data.xz"), "wb") as file:
        file.write(threaded)
    this.run("test", ["xz", "-t", "-T4", "data.xz"])
    this.run("list", ["xz", "-l", "-vv", "data.xz"])
    with open(data, "rb") as file:
        original = file.read()
    if this.run("decompress", ["xz", "-d", "-c", "-T4", "data.xz"]) != original:
        raise compare.Failure("decompression does not give the input back")
    if this.long:
        this.run("best", ["xz", "-9e", "-k", "-c", data])


if __name__ == "__main__":
    compare.main(scenario, make_inputs, needs=["xz"])
