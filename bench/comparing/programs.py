"""The real programs, as Debian ships them, on inputs made here.

Each run works in a fresh folder. What a program computed is digested, so that a run under one
allocator can be compared with the same run under another. Before the first run the dynamic linker is
asked which library serves malloc: some programs are linked with an allocator of their own.
"""

import os
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from . import allocators
from .runs import RunFailed, digest, measure, read_report

SCRIPTS = Path(__file__).resolve().parent.parent / "programs"


class Program:
    """A program that runs to its end. Subclasses say with what, on what, and what to compare."""

    kind = "program"
    name = about = executable = ""
    version_argument = "--version"
    environment = {}

    def __init__(self, data):
        self.data = data  # folder for inputs, kept from one call of compare to the next

    def available(self):
        return shutil.which(self.executable) is not None

    def prepare(self):
        """Makes the inputs that are not there yet."""

    def check(self, library, environment):
        """Raises RunFailed when another library than the one to measure would serve malloc."""
        serving = allocators.serving_malloc([shutil.which(self.executable), self.version_argument],
                                            library, environment)
        # A program that takes malloc's address binds to its own jump to whatever serves the others.
        serving.discard(os.path.basename(os.path.realpath(shutil.which(self.executable))))
        serving.discard(os.path.basename(shutil.which(self.executable)))
        if serving != {os.path.basename(library)}:
            raise RunFailed("malloc is served by " + (", ".join(sorted(serving)) or "the program itself"))

    def run(self, launcher, library, environment):
        with tempfile.TemporaryDirectory(prefix="ream-bench-") as folder:
            return self.run_in(Path(folder), launcher, library, {**environment, **self.environment})

    def run_in(self, folder, launcher, library, environment):
        sample, output = measure(launcher, library, self.arguments(folder), cwd=folder,
                                 environment=environment, stdin=self.stdin())
        return sample, digest(output)

    def arguments(self, folder):
        raise NotImplementedError

    def stdin(self):
        return None


class Python(Program):
    name, about = "python", "JSON, dicts and sorting, with Python's own pools for small objects"
    executable = "/usr/bin/python3"
    environment = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}

    def arguments(self, folder):
        return [self.executable, "-S", SCRIPTS / "records.py"]


class PythonMalloc(Python):
    name, about = "python_malloc", "the same with every object from malloc (PYTHONMALLOC=malloc)"
    environment = {**Python.environment, "PYTHONMALLOC": "malloc"}


class Sqlite(Program):
    name, about = "sqlite", "100,000 rows in memory: insert, index, join, update, delete"
    executable = "sqlite3"

    def arguments(self, folder):
        return ["sqlite3", "-batch", ":memory:"]

    def stdin(self):
        return SCRIPTS / "rows.sql"


class Lua(Program):
    name, about = "lua", "tables, closures and strings"
    executable = "lua5.4"
    version_argument = "-v"

    def arguments(self, folder):
        return ["lua5.4", SCRIPTS / "tables.lua"]


class Perl(Program):
    name, about = "perl", "hashes, regular expressions and string building"
    executable = "perl"
    environment = {"PERL_HASH_SEED": "0"}

    def arguments(self, folder):
        return ["perl", SCRIPTS / "words.pl"]


class Node(Program):
    name, about = "node", "objects, maps, buffers and JSON"
    executable = "node"

    def arguments(self, folder):
        return ["node", SCRIPTS / "objects.js"]


def words(count, seed):
    """Text of `count` made-up words, some far more common than others."""
    choice = random.Random(seed)
    letters = "etaoinshrdlu"
    vocabulary = ["".join(choice.choices(letters, k=choice.randint(2, 9))) for _ in range(5000)]
    weights = [1 / (rank + 1) for rank in range(len(vocabulary))]
    return " ".join(choice.choices(vocabulary, weights, k=count)) + "\n"


class Xz(Program):
    name, about = "xz", "compresses 6 MB of text at level 2"
    executable = "xz"

    def prepare(self):
        text = self.data / "text.txt"
        if not text.exists():
            text.write_text(words(1_000_000, 1))

    def arguments(self, folder):
        return ["xz", "--stdout", "--threads=1", "-2"]

    def stdin(self):
        return self.data / "text.txt"


class GitGc(Program):
    name, about = "git_gc", "packs a repository of 400 commits, with one thread"
    executable = "git"
    environment = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}

    def prepare(self):
        repository = self.data / "repository.git"
        if repository.exists():
            return
        making = self.data / "repository.making"
        shutil.rmtree(making, ignore_errors=True)
        subprocess.run(["git", "init", "--quiet", "--bare", making], check=True)
        # Unpacked, as commits made by hand would be: an import leaves a pack behind otherwise.
        subprocess.run(["git", "-C", making, "-c", "fastimport.unpackLimit=1000000", "fast-import",
                        "--quiet"], input=self.history(), check=True)
        making.rename(repository)

    @staticmethod
    def history():
        """400 commits, each of which changes a few of 200 files."""
        choice = random.Random(2)
        files = {f"folder{i % 20}/file{i}.txt": words(300, i).split() for i in range(200)}
        stream = []
        for number in range(400):
            stream.append(f"commit refs/heads/main\ncommitter A <a@example.org> {10**9 + number} +0000\n"
                          f"data 8\nchange {number % 10}")
            changed = list(files) if number == 0 else choice.sample(sorted(files), 6)
            for path in changed:
                files[path][choice.randrange(300)] = f"word{number}"
                text = " ".join(files[path])
                stream.append(f"M 100644 inline {path}\ndata {len(text)}\n{text}")
        return ("\n".join(stream) + "\n").encode()

    def run_in(self, folder, launcher, library, environment):
        shutil.copytree(self.data / "repository.git", folder / "r")
        sample, _ = measure(launcher, library,
                            ["git", "-C", "r", "-c", "pack.threads=1", "gc", "--quiet", "--aggressive"],
                            cwd=folder, environment=environment)
        packs = sorted((folder / "r" / "objects" / "pack").glob("*.pack"))
        return sample, digest(*(pack.read_bytes() for pack in packs))


class Compile(Program):
    """Compiles one file and compares the objects."""

    executable = "g++"
    name, about = "g++", "compiles one C++ file that uses much of the standard library"

    def run_in(self, folder, launcher, library, environment):
        sample, _ = measure(launcher, library,
                            [self.executable, "-std=c++20", "-O1", "-c", "-o", "unit.o",
                             SCRIPTS / "unit.cc"], cwd=folder, environment=environment)
        return sample, digest((folder / "unit.o").read_bytes())


class Clang(Compile):
    executable = "clang++"
    name, about = "clang++", "the same file with clang"


class Redis(Program):
    """The server is measured; the client that loads it over loopback runs on the system's malloc."""

    name, about = "redis", "redis-benchmark: 40,000 requests each of set, get, lpush, sadd, zadd, mset"
    executable = "redis-server"

    def available(self):
        return super().available() and shutil.which("redis-benchmark") is not None

    def run_in(self, folder, launcher, library, environment):
        socket = folder / "redis.sock"
        report = folder / "report.json"
        # A socket in the run's own folder: no port to collide on, and no network to measure.
        server = subprocess.Popen(
            [launcher, report, library, "redis-server", "--port", "0", "--unixsocket", socket,
             "--save", "", "--appendonly", "no", "--daemonize", "no"],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        try:
            self.wait_for(socket, server)
            subprocess.run(["redis-benchmark", "-s", socket, "-n", "40000", "-r", "20000", "-d", "200",
                            "-c", "20", "-P", "8", "-t", "set,get,lpush,sadd,zadd,mset", "-q"],
                           check=True, capture_output=True, timeout=120)
            keys = self.ask(socket, "strlen", "key:000000000001")
            self.ask(socket, "shutdown", "nosave")
            if server.wait(timeout=30) != 0:
                raise RunFailed(f"status {server.returncode}")
        except (subprocess.SubprocessError, OSError) as failure:
            raise RunFailed(str(failure)) from None
        finally:
            if server.poll() is None:
                server.kill()
            server.communicate()
        return read_report(report), digest(keys)

    @staticmethod
    def ask(socket, *words):
        return subprocess.run(["redis-cli", "-s", socket, *words], capture_output=True, timeout=30).stdout

    @staticmethod
    def wait_for(socket, server):
        give_up = time.monotonic() + 10
        while not socket.exists():
            if server.poll() is not None or time.monotonic() > give_up:
                raise RunFailed("the server did not start")
            time.sleep(0.01)


PROGRAMS = [Python, PythonMalloc, Sqlite, Lua, Perl, Node, Xz, GitGc, Compile, Clang, Redis]
