"""Programs that turn one file into another, or into an answer."""

import shutil
import subprocess

from . import inputs
from .program import SCRIPTS, Program
from .runs import digest, measure


class Sqlite(Program):
    name, about = "sqlite", "100,000 rows in memory: insert, index, join, update, delete"
    executable = "sqlite3"

    def arguments(self, folder):
        return ["sqlite3", "-batch", ":memory:"]

    def stdin(self):
        return SCRIPTS / "rows.sql"


class Xz(Program):
    name, about = "xz", "compresses 6 MB of text at level 2"
    executable = "xz"

    def prepare(self):
        text = self.data / "text.txt"
        if not text.exists():
            text.write_text(inputs.words(1_000_000, 1))

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
                        "--quiet"], input=inputs.history(), check=True)
        making.rename(repository)

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


class Z3(Program):
    name, about = "z3", "decides made-up formulas over bit-vectors, integers, arrays and functions"
    executable = "z3"

    def prepare(self):
        formulas = self.data / "formulas.smt2"
        if not formulas.exists():
            formulas.write_text(inputs.formulas())

    def arguments(self, folder):
        return ["z3", "-smt2", self.data / "formulas.smt2"]


class Ghostscript(Program):
    name, about = "ghostscript", "renders 80 pages of text, curves, shadings and images"
    executable = "gs"

    def prepare(self):
        pages = self.data / "pages.ps"
        if not pages.exists():
            pages.write_text(inputs.pages())

    def run_in(self, folder, launcher, library, environment):
        sample, _ = measure(launcher, library,
                            ["gs", "-q", "-dBATCH", "-dNOPAUSE", "-sDEVICE=ppmraw", "-r100",
                             "-sOutputFile=page%02d.ppm", self.data / "pages.ps"],
                            cwd=folder, environment=environment)
        return sample, digest(*(page.read_bytes() for page in sorted(folder.glob("*.ppm"))))
