"""x86-64 instructions as `objdump -d` prints them: what each does to memory and to the flow."""

import re
import subprocess

PREFIXES = {"lock", "rep", "repz", "repnz", "bnd", "notrack", "xacquire", "xrelease", "data16", "addr32",
            "cs", "ds", "es", "fs", "gs", "ss"}
LINE = re.compile(r"^\s*([0-9a-f]+):\t(\S.*?)\s*$")
COMMENT = re.compile(r"\s*# ([0-9a-f]+)\b.*$")
SYMBOL = re.compile(r"\s*<[^>]*>")
MEMORY = re.compile(r"^(?:%([c-g]s):)?(-?0x[0-9a-f]+)?(?:\((%\w+)?(?:,(%\w+)(?:,([1248]))?)?\))?$")

# Operands in memory that are only named, or only fetched ahead.
NO_ACCESS = re.compile(r"^(lea[wlq]?$|nop|prefetch)")
STACK_WRITE = re.compile(r"^(pushf?[wq]?|enter)$")
STACK_READ = re.compile(r"^(popf?[wq]?|leaveq?)$")
# By what is done with the last operand; any other instruction both reads and writes it.
WRITES_LAST = re.compile(r"^v?(mov|set|extract|pextr|stmxcsr|fnstcw|fst|fist)|^(pop|stos|xsavec?)")
READS_LAST = re.compile(r"^v?(cmps?[bwlq]?$|u?comis|ptest|ldmxcsr)|^(test|bt[wlq]?$|push|call|jmp|fld|fild"
                        r"|i?mul[bwlq]?$|i?div[bwlq]?$)")
CONDITIONAL = re.compile(r"^(j(?!mp)|loop)")
FENCE = re.compile(r"^([lsm]fence|cpuid|serialize|clflush|clwb)")
KERNEL = re.compile(r"^(syscall|sysenter|int)")
DIVISION = re.compile(r"^v?i?div")

STACK = "stack"


class Instruction:
    """One instruction: `text` as printed, `loads` and `stores` the operands in memory (STACK is what push
    and pop access; a return address is no operand), and what else the counts need."""

    def __init__(self, text):
        comment = COMMENT.search(text)
        self._rip_target = int(comment.group(1), 16) if comment else None
        self.text = SYMBOL.sub("", COMMENT.sub("", text))
        words = self.text.split()
        prefixes = set()
        while words and words[0] in PREFIXES | {"rex.W"}:
            prefixes.add(words.pop(0))
        self.name = words[0] if words else ""
        operands = split_operands(" ".join(words[1:]))
        in_memory = [self._is_memory(operand) for operand in operands]

        self.is_call = self.name.startswith("call")
        self.is_branch = bool(CONDITIONAL.match(self.name))
        self.is_jump = self.is_branch or self.name.startswith("jmp")
        # An exchange with memory is locked without saying so.
        self.is_locked = "lock" in prefixes or (self.name.startswith("xchg") and any(in_memory))
        self.is_slow = bool(FENCE.match(self.name) or KERNEL.match(self.name) or DIVISION.match(self.name))
        self.loads, self.stores = [], []
        if NO_ACCESS.match(self.name):
            return
        for position, operand in enumerate(operands):
            if not in_memory[position]:
                continue
            target = operand.lstrip("*")
            last = position == len(operands) - 1
            if not (last and WRITES_LAST.match(self.name)):
                self.loads.append(target)
            if last and not READS_LAST.match(self.name):
                self.stores.append(target)
        if STACK_WRITE.match(self.name):
            self.stores.append(STACK)
        if STACK_READ.match(self.name):
            self.loads.append(STACK)

    def _is_memory(self, operand):
        if operand.startswith("$") or self.name in ("ret", "retq"):
            return False
        if self.name.startswith(("j", "call", "loop")) and not operand.startswith("*"):
            return False
        return not operand.lstrip("*").startswith("%") or ":" in operand

    def address(self, operand, registers):
        """Of a memory operand, when the instruction begins with these registers (by name, and fs)."""
        if operand == STACK:
            return registers["rsp"] - (8 if STACK_WRITE.match(self.name) else 0)
        match = MEMORY.match(operand)
        if not match:
            raise ValueError(f"what address is {operand!r}?")
        segment, offset, base, index, scale = match.groups()
        if base == "%rip":
            return registers["module"] + self._rip_target
        total = int(offset or "0", 16) + (registers["fs"] if segment == "fs" else 0)
        total += registers[base.lstrip("%")] if base else 0
        total += registers[index.lstrip("%")] * int(scale or "1") if index else 0
        return total % (1 << 64)


def split_operands(text):
    """At the commas outside parentheses."""
    parts = re.split(r",(?![^(]*\))", text)
    return [part.strip() for part in parts if part.strip()]


def parse(listing):
    """Address -> Instruction, of objdump's output."""
    matches = (LINE.match(line) for line in listing.splitlines())
    return {int(match.group(1), 16): Instruction(match.group(2)) for match in matches if match}


def disassemble(path, begin, end):
    """Of a file, what lies in [begin, end]; `begin` must be the start of an instruction."""
    command = ["objdump", "-d", "-w", "--no-show-raw-insn", f"--start-address={begin:#x}",
               f"--stop-address={end + 16:#x}", path]
    return parse(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
