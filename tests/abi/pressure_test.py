#!/usr/bin/python3
"""Memory pressure is heard by idle programs under REAM_MEMORY_LIMIT=auto, and by nothing else do
ream's threads wake. The pressure is real: a process reads a file that its control group has no room
for. Where that cannot be had (no right to make a group, no pressure stall information), a line says
that it was left out."""

import mmap
import os
import pathlib
import select
import subprocess
import tempfile
import time

import child

MIB = 1 << 20
LEFT_OUT = 77
ROOM = 64 * MIB
FILE = 192 * MIB
AUTO = {"REAM_MEMORY_LIMIT": "auto"}


class Group:
    """A control group inside the own one that has little memory: of version 1 or 2."""

    def __init__(self):
        lines = pathlib.Path("/proc/self/cgroup").read_text().splitlines()
        first = [line.split(":", 2) for line in lines]
        version1 = [path for _, names, path in first if "memory" in names.split(",")]
        version2 = [path for number, _, path in first if number == "0"]
        if version1:
            parent, limit = pathlib.Path("/sys/fs/cgroup/memory" + version1[0]), "memory.limit_in_bytes"
        else:
            parent, limit = pathlib.Path("/sys/fs/cgroup" + version2[0]), "memory.high"
            if "memory" not in (parent / "cgroup.subtree_control").read_text().split():
                raise OSError("the own group hands no memory on")
        self.path = parent / f"ream-pressure-{os.getpid()}"
        self.path.mkdir()
        self.holds_program = not version1  # whose pressure is the group's in version 2
        try:
            (self.path / limit).write_text(str(ROOM))
        except OSError:
            self.path.rmdir()
            raise

    def enter(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def close(self):
        for _ in range(50):
            try:
                return self.path.rmdir()
            except OSError:  # the last process is about to leave it
                time.sleep(0.1)


def thrash(group, path):
    """Starts a process that reads the file again and again within the group; returns its number."""
    pid = os.fork()
    if pid != 0:
        return pid
    try:
        group.enter()
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as pages:
            end = time.monotonic() + 90
            while time.monotonic() < end:
                for at in range(0, len(pages), mmap.PAGESIZE):
                    pages[at]
    finally:
        os._exit(0)


def read_line(program, seconds):
    ready, _, _ = select.select([program.stdout], [], [], seconds)
    return program.stdout.readline().decode().strip() if ready else "(nothing)"


def run_under_pressure(options, arguments, group, path):
    """What went wrong, "" for nothing, or None where it was left out."""
    program = subprocess.Popen(
        [options.program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
        preexec_fn=group.enter if group.holds_program else None,
        env={"PATH": os.environ["PATH"], **AUTO})
    presser = None
    said = []
    try:
        while said[-1:] not in (["idle"], [""], ["(nothing)"]):
            said.append(read_line(program, 120))
        if said[-1] == "idle":
            presser = thrash(group, path)
            said += [read_line(program, 120), read_line(program, 30)]
        if said[-1] == "(nothing)":
            program.kill()
        _, errors = program.communicate(timeout=60)
    finally:
        if program.poll() is None:
            program.kill()
        if presser is not None:
            os.kill(presser, 9)
            os.waitpid(presser, 0)
    if program.returncode == LEFT_OUT:
        return None
    good = program.returncode == 0 and said[-3:] == ["idle", "heard", "ok"] and not errors
    return "" if good else f"{arguments}: said {said}, status {program.returncode}, {errors!r}"


def run_ended(options, errors):
    done = subprocess.run([options.program, "ended"], capture_output=True, timeout=120, check=False,
                          env={"PATH": os.environ["PATH"], **AUTO})
    if done.returncode == LEFT_OUT:
        print("left out: nobody listens for pressure here")
    elif done.returncode != 0 or done.stdout != b"listening\nended\n" or done.stderr:
        errors.append(f"ended: {child.describe(done)}")


def run_without(options, errors):
    """Who follows no group has nobody listening."""
    done = subprocess.run([options.program, "ended"], capture_output=True, timeout=120, check=False,
                          env={"PATH": os.environ["PATH"]})
    if done.returncode != LEFT_OUT or done.stdout:
        errors.append(f"listens without being asked: {child.describe(done)}")


def main():
    options = child.read_options(__doc__)
    errors = []
    run_without(options, errors)
    run_ended(options, errors)
    cases = (["wait"], ["closed"], ["child"])
    try:
        group = Group()
    except (OSError, IndexError) as error:
        print(f"left out: no control group to make pressure in: {error}")
        child.verdict(2, errors)
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:  # on a disk: what /tmp is, is not known
        try:
            for _ in range(FILE // MIB):
                file.write(os.urandom(MIB))
            file.flush()
            os.fsync(file.fileno())
            # Otherwise it stays in memory, on the account of this process's group.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            for arguments in cases:
                wrong = run_under_pressure(options, arguments, group, file.name)
                if wrong is None:
                    print(f"left out: {arguments}: nobody listens for pressure, or there is some")
                elif wrong:
                    errors.append(wrong)
        finally:
            group.close()
    child.verdict(2 + len(cases), errors)


if __name__ == "__main__":
    main()
