"""The allocators to compare: a name and a library to preload."""

import os
import re
import subprocess
from pathlib import Path

# Debian 12's libraries. tcmalloc is gperftools', in its minimal form without the heap profiler; of
# tbb the proxy is what replaces malloc.
DEBIAN_PEERS = {
    "jemalloc": "libjemalloc.so.2",
    "mimalloc": "libmimalloc.so.2",
    "tcmalloc": "libtcmalloc_minimal.so.4",
    "tbb": "libtbbmalloc_proxy.so.2",
}
LIBRARY_FOLDERS = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64",
                   "/usr/lib", "/usr/local/lib"]


def libc_path():
    """The libc this process runs on. Preloading it makes it serve malloc even in a program that is
    linked with another allocator, as Debian's redis is with jemalloc."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        found = re.search(r"(/\S*/libc(?:\.so\.6|-[0-9.]+\.so))$", line)
        if found:
            return found.group(1)
    raise SystemExit("compare: found no libc.so.6 to compare with")


def find_library(file_name):
    for folder in LIBRARY_FOLDERS:
        path = Path(folder, file_name)
        if path.exists():
            return str(path)
    return None


def available(ream_path):
    """All allocators found here, glibc first, as a dict from name to library."""
    found = {"glibc": libc_path()}
    if ream_path.exists():
        found["ream"] = str(ream_path)
    for name, file_name in DEBIAN_PEERS.items():
        path = find_library(file_name)
        if path:
            found[name] = path
    return found


def choose(wanted, ream_path, peers=()):
    """The allocators of a comma separated list, in which `name=path.so` adds one, or where it is empty
    all; and those of `peers`, each `name=path.so`. glibc is always there, since every ratio is to it.
    Returns (dict, list of what was not found)."""
    known = available(ream_path)
    items = list(filter(None, (wanted or "").split(","))) or ["ream", *DEBIAN_PEERS]
    chosen = {"glibc": known["glibc"]}
    missing = []
    for item in [*items, *peers]:
        name, _, path = item.partition("=")
        if path:
            if os.path.exists(path):
                chosen[name] = os.path.abspath(path)
            else:
                missing.append(item)
        elif name in known:
            chosen[name] = known[name]
        else:
            missing.append(name)
    return chosen, missing


def serving_malloc(argv, library, environment):
    """File names of the libraries to which malloc is bound in a run of `argv` with `library`
    preloaded, as the dynamic linker tells; empty for a program linked statically."""
    environment = {**environment, "LD_DEBUG": "bindings", "LD_BIND_NOW": "1", "LD_PRELOAD": library}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, timeout=60)
    pattern = r"binding file \S+ \[0\] to (\S+) \[0\]: normal symbol `malloc'"
    return {os.path.basename(path) for path in re.findall(pattern, done.stderr)}
