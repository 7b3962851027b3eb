"""What a program that bench/compare measures is.

Each run works in a fresh folder. What a program computed is digested, so that a run under one
allocator can be compared with the same run under another. Before the first run the dynamic linker is
asked which library serves malloc: some programs are linked with an allocator of their own.
"""

import os
import shutil
import tempfile
from pathlib import Path

from . import allocators
from .runs import RunFailed, digest, measure

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

    def probe(self):
        """A command that starts the program and does nothing."""
        return [shutil.which(self.executable), self.version_argument]

    def check(self, library, environment):
        """Raises RunFailed when another library than the one to measure would serve malloc."""
        serving = allocators.serving_malloc(self.probe(), library, environment)
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
