"""What the program of fast_path.cc saw: each path, a function and a size, with the instructions that the
shortest of its calls executed."""

import argparse
import dataclasses
import pathlib

import child
import instructions

REGISTERS = "rip rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15".split()
NOT_STEPPED = 77


class NoSteps(Exception):
    """The system does not stop a program after each instruction."""


@dataclasses.dataclass
class Module:
    """A file that is mapped: at [begin, end), an address in the file `base` higher."""
    base: int
    begin: int
    end: int
    path: str

    @property
    def is_libc(self):
        return pathlib.Path(self.path).name.startswith("libc.so")

    @property
    def is_kernels(self):
        """No file: the functions that the kernel maps into each process."""
        return self.path.startswith("linux-vdso")


@dataclasses.dataclass
class Call:
    """One call under steps; `steps` holds the registers before each of its `count` instructions."""
    path: str
    object: int
    bytes: int
    fs: int
    count: int
    steps: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Executed:
    """An instruction, the registers before it, and whether it is a jump that was followed."""
    module: Module
    address: int  # in the module's file
    instruction: instructions.Instruction
    registers: dict
    taken: bool

    def addresses(self, kind):
        """Where its loads or stores go."""
        return [self.instruction.address(operand, self.registers)
                for operand in getattr(self.instruction, kind)]


@dataclasses.dataclass
class Path:
    """What was executed in a call that was given, or gave, the object [object, object + bytes)."""
    object: int
    bytes: int
    executed: list

    def holds(self, address):
        return self.object <= address < self.object + self.bytes


@dataclasses.dataclass
class Trace:
    compiler: str
    modules: list
    calls: list


def read_trace(text):
    """The program's output."""
    trace = Trace("", [], [])
    for line in text.splitlines():
        word, *fields = line.split(" ")
        if word == "compiler":
            trace.compiler = " ".join(fields)
        elif word == "module":
            trace.modules.append(Module(*(int(field, 16) for field in fields[:3]), " ".join(fields[3:])))
        elif word == "call":
            trace.calls.append(Call(" ".join(fields[4:]), *(int(field, 16) for field in fields[:4])))
        elif word == "step":
            trace.calls[-1].steps.append(dict(zip(REGISTERS, (int(field, 16) for field in fields))))
        else:
            raise ValueError(f"what is {line!r}?")
    return trace


def without_repetitions(steps):
    """A repeated string instruction stops at each repetition: one instruction all the same."""
    return [step for before, step in zip([None, *steps], steps) if not before or before["rip"] != step["rip"]]


def shortest(calls):
    """Path -> its call with the fewest steps, in the order of the first calls. What has more than the
    program writes down is no fast path of anything and left out."""
    best = {}
    for call in calls:
        if call.path not in best or call.count < best[call.path].count:
            best[call.path] = call
    return {path: call for path, call in best.items() if call.count == len(call.steps)}


def module_of(modules, address):
    for module in modules:
        if module.begin <= address < module.end:
            return module
    raise ValueError(f"an instruction at {address:#x}, in no module")


class Listings:
    """The disassembly of the modules, as far as the steps of `calls` went."""

    def __init__(self, modules, calls):
        spans = {}
        for call in calls:
            for step in call.steps:
                module = module_of(modules, step["rip"])
                offset = step["rip"] - module.base
                low, high = spans.get(module.path, (offset, offset))
                spans[module.path] = min(low, offset), max(high, offset)
        self._spans, self._read = spans, {}

    def at(self, module, offset):
        """(instruction, its length)"""
        if module.path not in self._read:
            self._read[module.path] = instructions.disassemble(module.path, *self._spans[module.path])
        listing = self._read[module.path]
        if offset not in listing:
            raise ValueError(f"{module.path}: objdump sees no instruction at {offset:#x}")
        length = next(n for n in range(1, 16) if offset + n in listing)
        return listing[offset], length


def executed(call, modules, listings, counts_libc):
    steps = without_repetitions(call.steps)
    result = []
    for step, after in zip(steps, [*steps[1:], None]):
        module = module_of(modules, step["rip"])
        if module.is_kernels or (module.is_libc and not counts_libc):
            continue
        offset = step["rip"] - module.base
        instruction, length = listings.at(module, offset)
        taken = instruction.is_jump and after is not None and after["rip"] != step["rip"] + length
        registers = {**step, "fs": call.fs, "module": module.base}
        result.append(Executed(module, offset, instruction, registers, taken))
    return result


def observe(lib, program):
    """(name of the compiler, path -> Path) of a run of the program on an allocator: a file that can be
    preloaded, or libc's. Raises NoSteps."""
    lib = pathlib.Path(lib).resolve()
    # Functions of other libraries are bound at the start, not in the midst of a path.
    done = child.run(argparse.Namespace(lib=str(lib), program=program), [],
                     env={"LD_BIND_NOW": "1", "REAM_WORKER": "off"})
    if done.returncode == NOT_STEPPED:
        raise NoSteps
    if done.returncode != 0 or done.stderr:
        raise RuntimeError(f"{program} on {lib}: {child.describe(done)}")
    trace = read_trace(done.stdout.decode())
    calls = shortest(trace.calls)
    listings = Listings(trace.modules, calls.values())
    counts_libc = Module(0, 0, 0, str(lib)).is_libc
    return trace.compiler, {
        path: Path(call.object, call.bytes, executed(call, trace.modules, listings, counts_libc))
        for path, call in calls.items()}
