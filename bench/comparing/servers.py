"""Servers and databases.

Of a server only the server is measured; the client that loads it over a socket in the run's own folder
(no port to collide on, and no network to measure) runs on the system's malloc.
"""

import hashlib
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .program import SCRIPTS, Program
from .runs import RunFailed, digest, measure, read_report


class Server(Program):
    """A program that serves until it is told to stop. Subclasses say how."""

    def run_in(self, folder, launcher, library, environment):
        address = folder / "socket"
        report = folder / "report.json"
        server = subprocess.Popen([launcher, report, library, *self.command(address)], cwd=folder,
                                  env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE)
        try:
            self.wait_for(address, server)
            answers = self.use(address)
            self.stop(address)
            if server.wait(timeout=30) != 0:
                raise RunFailed(f"status {server.returncode}")
        except (subprocess.SubprocessError, OSError) as failure:
            raise RunFailed(str(failure)) from None
        finally:
            if server.poll() is None:
                server.kill()
            server.communicate()
        return read_report(report), digest(answers)

    @staticmethod
    def wait_for(address, server):
        give_up = time.monotonic() + 10
        while not address.exists():
            if server.poll() is not None or time.monotonic() > give_up:
                raise RunFailed("the server did not start")
            time.sleep(0.01)

    def command(self, address):
        raise NotImplementedError

    def use(self, address):
        """Loads the server, and returns answers that must be the same under every allocator."""
        raise NotImplementedError

    def stop(self, address):
        raise NotImplementedError


class Redis(Server):
    name, about = "redis", "redis-benchmark: 40,000 requests each of set, get, lpush, sadd, zadd, mset"
    executable = "redis-server"

    def available(self):
        return super().available() and shutil.which("redis-benchmark") is not None

    def command(self, address):
        return ["redis-server", "--port", "0", "--unixsocket", address, "--save", "", "--appendonly", "no",
                "--daemonize", "no"]

    def use(self, address):
        subprocess.run(["redis-benchmark", "-s", address, "-n", "40000", "-r", "20000", "-d", "200",
                        "-c", "20", "-P", "8", "-t", "set,get,lpush,sadd,zadd,mset", "-q"],
                       check=True, capture_output=True, timeout=120)
        return self.ask(address, "strlen", "key:000000000001")

    def stop(self, address):
        self.ask(address, "shutdown", "nosave")

    @staticmethod
    def ask(address, *words):
        return subprocess.run(["redis-cli", "-s", address, *words], capture_output=True, timeout=30).stdout


class Memcached(Server):
    """Values lie in slabs of its own, taken 1 MiB at a time; buffers of connections come from malloc.
    There is room for all values, so that none is dropped at a moment that time decides."""

    name, about = "memcached", "50 connections, 100,000 values set and read, 30 MB live in its own slabs"
    executable = "memcached"
    connections, batches, batch, keys = 50, 2000, 50, 10_000

    def command(self, address):
        user = pwd.getpwuid(os.getuid()).pw_name
        return ["memcached", "-s", address, "-u", user, "-m", "128", "-t", "2", "-A"]

    def use(self, address):
        choice = random.Random(5)
        values = random.Random(6).randbytes(1 << 15)
        answers = hashlib.sha256()  # of 300 MB
        links = [self.connect(address) for _ in range(self.connections)]
        for number in range(self.batches):
            link, stream = links[number % self.connections]
            request = []
            for _ in range(self.batch):
                size = int(64 * 2 ** choice.uniform(0, 8))
                request.append(b"set key:%d 0 0 %d\r\n%b\r\n" % (choice.randrange(self.keys), size,
                                                              values[:size]))
            wanted = [choice.randrange(self.keys) for _ in range(self.batch)]
            request.append(b"get " + b" ".join(b"key:%d" % key for key in wanted) + b"\r\n")
            link.sendall(b"".join(request))
            answers.update(b"".join(self.receive(stream)))
        for link, stream in links:
            stream.close()
            link.close()
        return answers.digest()

    @staticmethod
    def connect(address):
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(30)
        link.connect(str(address))
        return link, link.makefile("rb")

    def receive(self, stream):
        """What was said to a batch: a line for each set, then the values that were found."""
        lines = [stream.readline() for _ in range(self.batch)]
        if lines != [b"STORED\r\n"] * self.batch:
            raise RunFailed("a value was not stored")
        while not lines[-1].startswith(b"END"):
            lines.append(stream.readline())
            if lines[-1].startswith(b"VALUE"):
                lines.append(stream.read(int(lines[-1].split()[3]) + 2))
            elif not lines[-1]:
                raise RunFailed("the server hung up")
        return lines

    def stop(self, address):
        link, stream = self.connect(address)
        link.sendall(b"shutdown\r\n")
        stream.read()


class Postgresql(Program):
    """One process without a server around it (--single), on a copy of an empty cluster. It does not run
    as root; where bench/compare does, it becomes the user that Debian's package makes."""

    name, about = "postgresql", "80,000 rows: insert, index, join, group, sort, jsonb, update"
    user = "postgres"

    def __init__(self, data):
        super().__init__(data)
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"),
                         key=lambda path: [int(part) for part in path.parent.name.split(".")])
        self.folder = folders[-1] if folders else Path("/usr/lib/postgresql")
        self.executable = str(self.folder / "postgres")
        self.cluster = data / f"postgresql-{self.folder.parent.name}"

    def available(self):
        if not super().available() or not (self.folder / "initdb").exists():
            return False
        return os.getuid() != 0 or (shutil.which("setpriv") is not None and self.identity() is not None)

    def identity(self):
        try:
            return pwd.getpwnam(self.user)
        except KeyError:
            return None

    def as_user(self):
        """Words before a command that must not run as root."""
        if os.getuid() != 0:
            return []
        return ["setpriv", f"--reuid={self.user}", f"--regid={self.identity().pw_gid}", "--clear-groups",
                "--pdeathsig=KILL"]

    def give(self, folder):
        """Hands the folder to the user."""
        if os.getuid() == 0:
            os.chown(folder, self.identity().pw_uid, self.identity().pw_gid)

    def prepare(self):
        if self.cluster.exists():
            return
        # Made elsewhere: the user need not be able to reach the tree.
        with tempfile.TemporaryDirectory(prefix="ream-bench-") as folder:
            self.give(folder)
            made = Path(folder, "cluster")
            subprocess.run([*self.as_user(), self.folder / "initdb", "-D", made, "--auth=trust",
                            "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"],
                           cwd=folder, check=True, capture_output=True)
            making = self.data / "cluster.making"
            shutil.rmtree(making, ignore_errors=True)
            subprocess.run(["cp", "-a", made, making], check=True)
            making.rename(self.cluster)

    def probe(self):
        # As that user, who may not be allowed to read a library.
        return [*self.as_user(), *super().probe()]

    def run_in(self, folder, launcher, library, environment):
        self.give(folder)
        subprocess.run(["cp", "-a", self.cluster, folder / "cluster"], check=True)
        sample, output = measure(
            launcher, library,
            [*self.as_user(), self.executable, "--single", "-j", "-F", "-D", folder / "cluster",
             "-c", "jit=off", "-c", "shared_buffers=32MB", "-c", "work_mem=64MB", "-c", "exit_on_error=on",
             "postgres"],
            cwd=folder, environment=environment, stdin=SCRIPTS / "queries.sql")
        return sample, digest(output)
