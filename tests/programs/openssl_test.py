#!/usr/bin/python3
"""openssl: digests of 200 MB, a cipher, keys and certificates from fixed inputs."""

import subprocess

import compare

MEGABYTES = 200


def make_inputs(folder):
    """Zeros under a cipher with a fixed key: noise that is the same each time."""
    with open(f"{folder}/data", "wb") as file:
        cipher = subprocess.Popen(
            ["openssl", "enc", "-aes-128-ctr", "-K", "00" * 16, "-iv", "00" * 16],
            stdin=subprocess.PIPE, stdout=file)
        for _ in range(MEGABYTES):
            cipher.stdin.write(bytes(1 << 20))
        cipher.stdin.close()
        if cipher.wait() != 0:
            raise compare.Failure("the input could not be made")


def scenario(this):
    data = this.input("data")
    for name in ("sha256", "blake2b512"):
        this.run(name, ["openssl", "dgst", f"-{name}", data])
    this.run("cipher", ["openssl", "enc", "-chacha20", "-K", "11" * 32, "-iv", "22" * 16,
                        "-in", data, "-out", "cipher"])
    this.run("digest of it", ["openssl", "dgst", "-sha1", "cipher"])
    this.run("key", ["openssl", "pkey", "-text", "-in", "/dev/stdin"],
             stdin=ED25519_KEY)
    with open(this.path("key.pem"), "wb") as file:
        file.write(ED25519_KEY)
    this.run("sign", ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", "key.pem",
                      "-in", "/etc/debian_version", "-out", "signature"])
    this.keep_file("signature")
    this.run("prime", ["openssl", "prime", str(2**521 - 1)])
    this.run("list", ["openssl", "list", "-digest-algorithms", "-cipher-algorithms"])


# A key for this test alone: RFC 8410, section 10.3.
ED25519_KEY = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
"""

if __name__ == "__main__":
    compare.main(scenario, make_inputs, needs=["openssl"])
