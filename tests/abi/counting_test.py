#!/usr/bin/python3
"""How the instructions of the fast paths are counted, and what is not allowed in them: tried on made-up
instructions and paths."""

import unittest

import annotated
import fast_path
import fast_path_test
import instructions
import stepped

FS = 0x7000_0000
LIBRARY = stepped.Module(0x1000_0000, 0x1000_0000, 0x1010_0000, "/lib/liballoc.so")
LIBC = stepped.Module(0x2000_0000, 0x2000_0000, 0x2010_0000, "/lib/libc.so.6")
REGISTERS = {"rax": 0x5000, "rcx": 3, "rdi": 0x9000, "rsp": 0x7fff_0000, "fs": FS, "module": LIBRARY.base}


def made_up(text):
    return instructions.Instruction(text)


class Instructions(unittest.TestCase):
    def counts(self, text):
        instruction = made_up(text)
        return len(instruction.loads), len(instruction.stores)

    def test_loads(self):
        for text in ("mov (%rax),%rdx", "movzbl 0x16(%rax),%eax", "cmp %rdx,0x10(%rax)", "cmpb $0x0,(%rax)",
                     "test %al,(%rdi)", "add %fs:(%rdx),%rax", "mov %fs:0x28,%rax", "imul $0x3,(%rax),%rdx",
                     "mulq (%rax)", "jmp *(%rax)", "call *0x10(%rip)        # 36e88 <memset>", "pop %rbx",
                     "cmovne (%rax),%rdx", "popcnt (%rax),%rdx", "movdqu (%rsi),%xmm0", "lods %ds:(%rsi),%al",
                     "mov 0x601040,%eax", "bt %rax,(%rdx)", "leave", "vmovdqu (%rsi),%ymm1",
                     "vpaddq (%rax),%ymm0,%ymm1"):
            self.assertEqual(self.counts(text), (1, 0), text)

    def test_stores(self):
        for text in ("mov %rdx,(%rax)", "movb $0x3,(%rax)", "sete 0x8(%rsp)", "push %rbx", "push $0x10",
                     "movups %xmm0,(%rdi)", "vmovdqu %ymm1,0x20(%rdi)", "rep stos %al,%es:(%rdi)",
                     "movnti %rax,(%rdi)"):
            self.assertEqual(self.counts(text), (0, 1), text)

    def test_both(self):
        for text in ("addq $0x1,0x18(%rax)", "incl (%rax)", "notq (%rax)", "shlq (%rax)", "bts %rax,(%rdx)",
                     "lock cmpxchg %rdx,(%rdi)", "xchg %rax,(%rdi)", "lock xadd %eax,(%rdx)", "push (%rax)",
                     "movsb %ds:(%rsi),%es:(%rdi)", "pop 0x8(%rax)"):
            self.assertEqual(self.counts(text), (1, 1), text)

    def test_neither(self):
        for text in ("lea 0x8(%rax,%rcx,8),%rdx", "nopw 0x0(%rax,%rax,1)", "cs nopw 0x0(%rax,%rax,1)", "ret",
                     "prefetcht0 (%rax)", "jmp 1c1d0 <malloc_uncached>", "ja 1c3d0 <malloc+0x50>",
                     "call 171b0 <live_object>", "mov %rsp,%rbp", "xchg %ax,%ax", "endbr64", "shr $0x4,%rax",
                     "jmp *%rax"):
            self.assertEqual(self.counts(text), (0, 0), text)

    def test_flow(self):
        def flow(text):
            instruction = made_up(text)
            return instruction.is_branch, instruction.is_jump, instruction.is_call
        self.assertEqual(flow("ja 1c3d0 <malloc+0x50>"), (True, True, False))
        self.assertEqual(flow("bnd jmp 1c3d0"), (False, True, False))
        self.assertEqual(flow("notrack jmp *%rax"), (False, True, False))
        self.assertEqual(flow("call *%rax"), (False, False, True))
        self.assertEqual(flow("cmovne %rax,%rdx"), (False, False, False))

    def test_locked(self):
        for text in ("lock cmpxchg %rdx,(%rdi)", "xchg %rax,(%rdi)", "xchg %eax,%fs:0x28"):
            self.assertTrue(made_up(text).is_locked, text)
        for text in ("cmpxchg %rdx,(%rdi)", "xchg %rax,%rdx", "mov %rax,(%rdi)"):
            self.assertFalse(made_up(text).is_locked, text)

    def test_slow(self):
        for text in ("div %rsi", "idivq 0x8(%rax)", "mfence", "syscall", "cpuid", "divsd %xmm0,%xmm1"):
            self.assertTrue(made_up(text).is_slow, text)
        for text in ("imul %rsi,%rdx", "mov %rax,(%rdi)", "shr $0x20,%rdx"):
            self.assertFalse(made_up(text).is_slow, text)

    def test_addresses(self):
        def address(text):
            instruction = made_up(text)
            return instruction.address((instruction.loads + instruction.stores)[0], REGISTERS)
        self.assertEqual(address("mov (%rax),%rdx"), 0x5000)
        self.assertEqual(address("mov -0x8(%rax,%rcx,8),%rdx"), 0x5010)
        self.assertEqual(address("movzwl 0x100(,%rcx,2),%edx"), 0x106)
        self.assertEqual(address("mov %fs:-0x10,%rdx"), FS - 0x10)
        self.assertEqual(address("mov %fs:(%rcx),%rdx"), FS + 3)
        self.assertEqual(address("mov 0x1ab1d(%rip),%rdx        # 36ec0 <table>"), LIBRARY.base + 0x36ec0)
        self.assertEqual(address("push %rbx"), REGISTERS["rsp"] - 8)
        self.assertEqual(address("pop %rbx"), REGISTERS["rsp"])
        self.assertRaises(ValueError, address, "mov (%rax,%rcx,3),%rdx")

    def test_listing(self):
        text = ("\n/lib/liballoc.so:     file format elf64-x86-64\n\n000000000001c380 <malloc>:\n"
                "   1c380:\tcmp    $0x400,%rdi\n   1c387:\tja     1c3d0 <malloc+0x50>\n   1c389:\tret\n")
        self.assertEqual([(address, each.text.split()) for address, each in instructions.parse(text).items()],
                         [(0x1c380, ["cmp", "$0x400,%rdi"]), (0x1c387, ["ja", "1c3d0"]), (0x1c389, ["ret"])])


class MadeUpListings:
    """Of one function at 0x100: a branch over a store, a repeated instruction, the end."""
    LISTING = {0x100: ("je 108", 4), 0x104: ("mov %rdx,(%rax)", 4), 0x108: ("rep stos %al,%es:(%rdi)", 2),
               0x10a: ("ret", 1)}

    def at(self, _, offset):
        text, length = self.LISTING[offset]
        return made_up(text), length


class Traces(unittest.TestCase):
    TEXT = ("compiler GNU 12.2.0 -O2\nmodule 10000000 10000000 10100000 /lib/liballoc.so\n"
            "module 20000000 20000000 20100000 /lib/libc.so.6\n"
            "call c0000010 10 7000 3 malloc(16)\nstep 10000100 1\nstep 10000104 2\nstep 1000010a 3\n"
            "call c0000010 10 7000 2 malloc(16)\nstep 10000100 4\nstep 1000010a 5\n"
            "call c0000010 10 7000 9999 free(16)\nstep 10000100 6\n")

    def executed(self, *offsets, counts_libc=False):
        steps = [{"rip": offset} for offset in offsets]
        call = stepped.Call("malloc(16)", 0, 16, FS, len(steps), steps)
        return stepped.executed(call, [LIBRARY, LIBC], MadeUpListings(), counts_libc)

    def test_read(self):
        trace = stepped.read_trace(self.TEXT)
        self.assertEqual(trace.compiler, "GNU 12.2.0 -O2")
        self.assertEqual([module.path for module in trace.modules], ["/lib/liballoc.so", "/lib/libc.so.6"])
        self.assertEqual([(call.path, call.object, len(call.steps)) for call in trace.calls],
                         [("malloc(16)", 0xc0000010, 3), ("malloc(16)", 0xc0000010, 2), ("free(16)", 0xc0000010, 1)])
        self.assertEqual(trace.calls[0].steps[1], {"rip": 0x10000104, "rax": 2})
        self.assertRaises(ValueError, stepped.read_trace, "nonsense\n")

    def test_shortest_call_counts_and_what_was_cut_does_not(self):
        best = stepped.shortest(stepped.read_trace(self.TEXT).calls)
        self.assertEqual([(path, call.count) for path, call in best.items()], [("malloc(16)", 2)])

    def test_taken(self):
        through = self.executed(0x10000100, 0x10000104, 0x10000108, 0x1000010a)
        self.assertEqual([step.taken for step in through], [False] * 4)
        over = self.executed(0x10000100, 0x10000108, 0x1000010a)
        self.assertEqual([step.taken for step in over], [True, False, False])

    def test_repetitions_are_one_instruction(self):
        self.assertEqual(len(self.executed(0x10000108, 0x10000108, 0x10000108, 0x1000010a)), 2)

    def test_libc_is_left_out(self):
        self.assertEqual(len(self.executed(0x10000100, 0x20000100, 0x10000108)), 2)
        self.assertEqual(len(self.executed(0x10000100, 0x20000100, 0x10000108, counts_libc=True)), 3)

    def test_what_lies_in_no_module(self):
        self.assertRaises(ValueError, self.executed, 0x30000100)


class Tables(unittest.TestCase):
    ROW = {"instructions": 18, "loads": 7, "stores": 2, "branches": 2, "taken": 0, "calls": 0}

    def test_written_and_read(self):
        rows = {"malloc(16)": self.ROW, "sized delete(16)": {**self.ROW, "loads": 12}}
        self.assertEqual(fast_path.read_golden(fast_path.golden_text("GNU 12.2.0 -O2", rows)),
                         ("GNU 12.2.0 -O2", rows))

    def test_differences(self):
        golden = {"malloc(16)": self.ROW, "free(16)": self.ROW}
        self.assertEqual(fast_path_test.differences(golden, golden), [])
        for value in (6, 8):  # less is a difference too: the table is to be what is
            rows = {"malloc(16)": {**self.ROW, "loads": value}, "free(16)": self.ROW}
            self.assertEqual(fast_path_test.differences(golden, rows), [f"malloc(16): loads 7 -> {value}"])
        self.assertEqual(fast_path_test.differences(golden, {"malloc(16)": self.ROW, "new(16)": self.ROW}),
                         ["new(16): not in the table", "free(16): in the table alone"])


class Documents(unittest.TestCase):
    TEXT = "# Paths\n```\nother # code\n```\n```asm malloc(16)\nmov (%rax),%rcx  # the top\nja ...  # dry\nret # done\n```\nend\n"

    def test_what_is_shown(self):
        for text, short in (("ja 1c3d0 <malloc+0x50>", "ja ..."), ("call 171b0 <live>", "call ..."),
                            ("mov 0x1ab1d(%rip),%rdx        # 36ec0 <table>", "mov ...(%rip),%rdx"),
                            ("add    $0x10,%rdx", "add $0x10,%rdx"), ("jmp *%rax", "jmp *%rax"),
                            ("mov -0x8(%rcx),%rax", "mov -0x8(%rcx),%rax")):
            self.assertEqual(annotated.shown(made_up(text)), short)

    def test_renewed(self):
        texts = {"malloc(16)": ["mov (%rax),%rcx", "add $0x10,%rcx", "ret"]}
        renewed = annotated.renewed(self.TEXT, texts.get)
        self.assertEqual([line.split() for line in renewed.split("\n")[5:9]],
                         [["mov", "(%rax),%rcx", "#", "the", "top"], ["add", "$0x10,%rcx"],
                          ["ret", "#", "done"], ["```"]])
        self.assertEqual(annotated.wordless(renewed), [("malloc(16)", "add $0x10,%rcx")])
        self.assertEqual(annotated.renewed(renewed, texts.get), renewed)
        self.assertEqual(renewed.split("\n")[:5] + ["end", ""], self.TEXT.split("\n")[:5] + ["end", ""])
        self.assertTrue(renewed.endswith("```\nend\n"))


class Limits(unittest.TestCase):
    GOOD = ("mov 0x10(%rip),%rdx        # 36ec0 <table>", "mov (%rax),%rcx", "jl 1c428", "mov %rdx,(%rax)", "ret")

    def broken(self, *texts, name="malloc(16)", **registers):
        steps = [stepped.Executed(LIBRARY, 16 * i, made_up(text), {**REGISTERS, **registers}, False)
                 for i, text in enumerate(texts)]
        path = stepped.Path(0x9000, 16, steps)
        return [text.removeprefix(f"{name}: ") for text in fast_path_test.broken_limits(name, path)]

    def test_good(self):
        self.assertEqual(self.broken(*self.GOOD), [])

    def test_each(self):
        for text, why in (("call 171b0", "a call"), ("lock addl $0x1,(%rax)", "locks the bus"),
                          ("div %rsi", "a fence, a division or a system call"),
                          ("mov 0x8(%rdi),%rax", "touches the object"), ("mov %rax,0xf(%rdi)", "touches the object"),
                          ("push %rbx", "touches the stack"), ("mov 0x20(%rsp),%rax", "touches the stack"),
                          ("mov %rax,0x10(%rip)        # 36ec0 <counter>", "writes what threads share")):
            self.assertEqual(self.broken(*self.GOOD, text), [f"50 {made_up(text).text}: {why}"])

    def test_just_outside_the_object(self):
        self.assertEqual(self.broken("mov 0x10(%rdi),%rax", "mov -0x1(%rdi),%al"), [])

    def test_amounts(self):
        self.assertEqual(self.broken(*["mov %rdx,(%rax)"] * 3), ["3 stores, more than 2"])
        self.assertEqual(self.broken(*["nop"] * 20), [])
        self.assertEqual(self.broken(*["nop"] * 21), ["21 instructions, more than 20"])
        self.assertEqual(self.broken(*["nop"] * 46, name="sized delete(16)"), [])

    def test_repetition_and_other_libraries(self):
        steps = [stepped.Executed(module, 0, made_up("nop"), REGISTERS, False) for module in (LIBRARY, LIBC)]
        self.assertEqual(fast_path_test.broken_limits("free(16)", stepped.Path(0x9000, 16, steps)),
                         ["free(16): 0 nop: a second time", "free(16): 0 nop: of /lib/libc.so.6"])

    def test_whose_limits(self):
        self.assertEqual(fast_path_test.kind_of("new(1024)", 1024), "allocate small")
        self.assertEqual(fast_path_test.kind_of("malloc(1025)", 1025), "allocate")
        self.assertEqual(fast_path_test.kind_of("sized delete(16)", 16), "release")
        self.assertIsNone(fast_path_test.kind_of("realloc(16)", 16))


if __name__ == "__main__":
    unittest.main()
