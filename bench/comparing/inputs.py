"""What the programs work on, made from fixed seeds."""

import random


def words(count, seed):
    """Text of `count` made-up words, some far more common than others."""
    choice = random.Random(seed)
    letters = "etaoinshrdlu"
    vocabulary = ["".join(choice.choices(letters, k=choice.randint(2, 9))) for _ in range(5000)]
    weights = [1 / (rank + 1) for rank in range(len(vocabulary))]
    return " ".join(choice.choices(vocabulary, weights, k=count)) + "\n"


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


def formulas():
    """SMT-LIB: programs over 32-bit vectors with questions about their results, and orders of tasks
    in time mixed with arrays and functions that nothing is known of."""
    choice = random.Random(3)
    lines = ["(set-logic QF_BV)"]
    lines += [f"(declare-const x{i} (_ BitVec 32))" for i in range(8)]
    for query in range(16):
        lines.append("(push 1)")
        names = [f"x{i}" for i in range(8)]
        for step in range(40):
            operation = choice.choice("bvadd bvadd bvsub bvand bvor bvxor bvxor bvmul bvshl".split())
            operands = f"{choice.choice(names)} {choice.choice(names)}"
            names.append(f"t{query}_{step}")
            lines.append(f"(define-fun {names[-1]} () (_ BitVec 32) ({operation} {operands}))")
            if step % 8 == 7:
                relation = choice.choice(["bvult", "bvule", "bvslt"])
                lines.append(f"(assert ({relation} {names[-1]} {choice.choice(names[:-1])}))")
        lines.append("(check-sat)\n(pop 1)")
    lines.append("(reset)")
    for _ in range(10):
        lines += ["(push 1)", *order_of_tasks(choice), "(check-sat)", "(pop 1)"]
    return "\n".join(lines) + "\n"


def order_of_tasks(choice, count=40, latest=100):
    lines = ["(declare-fun f (Int) Int)", "(declare-const a (Array Int Int))"]
    for i in range(count):
        lines.append(f"(declare-const s{i} Int)\n(assert (and (>= s{i} 0) (<= s{i} {latest})))")
    for i in range(count):
        for j in range(i):
            if choice.random() < 0.25:
                lines.append(f"(assert (or (>= (- s{i} s{j}) {choice.randint(1, 9)}) "
                             f"(>= (- s{j} s{i}) {choice.randint(1, 9)})))")
    for _ in range(count // 2):
        x, y, z = choice.sample(range(count), 3)
        lines.append(f"(assert (not (= (f (+ s{x} s{y})) (select (store a s{z} (f s{x})) s{y}))))")
    for _ in range(count // 3):
        x, y, z = choice.sample(range(count), 3)
        lines.append(f"(assert (<= (+ s{x} (* {choice.randint(2, 5)} s{y})) "
                     f"(+ (* 3 s{z}) {choice.randint(0, latest)})))")
    return lines


def pages(count=80):
    """PostScript: on each page lines of text in several fonts, filled curves, a shading and an image."""
    choice = random.Random(4)
    fonts = ["Times-Roman", "Helvetica-Bold", "Courier", "Palatino-Italic", "Bookman-Light"]
    lines = ["%!PS-Adobe-3.0"]

    def numbers(low, high, how_many):
        return " ".join(f"{choice.uniform(low, high):.2f}" for _ in range(how_many))

    for page in range(count):
        text = words(400, 100 + page).split()
        for line in range(50):
            lines.append(f"/{choice.choice(fonts)} findfont {choice.randint(6, 16)} scalefont setfont "
                         f"{numbers(0, 0.6, 3)} setrgbcolor 40 {780 - 15 * line} moveto "
                         f"({' '.join(text[8 * line:8 * line + 8])}) show")
        for _ in range(60):
            lines.append(f"{numbers(0, 1, 3)} setrgbcolor newpath {numbers(0, 600, 2)} moveto "
                         f"{numbers(0, 600, 6)} curveto {numbers(0, 600, 6)} curveto closepath "
                         f"{choice.choice(['fill', 'eofill', 'stroke', f'{numbers(1, 9, 1)} setlinewidth stroke'])}")
        lines.append(f"gsave 100 100 200 200 rectclip << /ShadingType 3 /ColorSpace /DeviceRGB "
                     f"/Coords [200 200 {numbers(1, 50, 1)} 200 200 150] /Extend [true true] /Function "
                     f"<< /FunctionType 2 /Domain [0 1] /C0 [{numbers(0, 1, 3)}] /C1 [{numbers(0, 1, 3)}] "
                     f"/N 1 >> >> shfill grestore")
        samples = choice.randbytes(3 * 32 * 32).hex()
        lines.append(f"gsave 350 100 translate 200 200 scale 32 32 8 [32 0 0 32 0 0] "
                     f"<{samples}> false 3 colorimage grestore showpage")
    return "\n".join(lines) + "\n"
