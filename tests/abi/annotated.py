"""The listings of paths in docs/fast-path.md: an instruction a line, then # and what it is for. A listing
begins with ```asm and the path's name; the instructions are written by `fast_path.py --record`, which
keeps the words of those that stay."""

import difflib
import re

FENCE = "```"
OPENING = re.compile(r"^```asm (\S.*)$")
WIDTH = 28
# What changes whenever anything moves: where jumps lead to and where data lies.
TARGET = re.compile(r"^(j\w+|call)( )[0-9a-f]+$")
DISPLACEMENT = re.compile(r"-?0x[0-9a-f]+(?=\(%rip\))")


def shown(instruction):
    """An instruction's text without what changes whenever anything moves."""
    text = " ".join(instruction.text.split())
    return DISPLACEMENT.sub("...", TARGET.sub(r"\1\2...", text))


def split_line(line):
    """(instruction, word)"""
    text, _, word = line.partition("#")
    return text.strip(), word.strip()


def renewed_listing(lines, texts):
    """The lines of a listing for these instructions, with the words of those that `lines` has too."""
    old = [split_line(line) for line in lines]
    words = [""] * len(texts)
    matcher = difflib.SequenceMatcher(None, [text for text, _ in old], texts, autojunk=False)
    for begin, new_begin, size in matcher.get_matching_blocks():
        for i in range(size):
            words[new_begin + i] = old[begin + i][1]
    return [f"{text:<{WIDTH}}  # {word}".rstrip(" #") for text, word in zip(texts, words)]


def renewed(document, texts_of):
    """The document with its listings renewed; texts_of(path) gives the texts of a path's instructions."""
    lines, result = document.split("\n"), []
    while lines:
        line = lines.pop(0)
        result.append(line)
        opening = OPENING.match(line)
        if opening:
            end = lines.index(FENCE)
            result += renewed_listing(lines[:end], texts_of(opening.group(1)))
            del lines[:end]
    return "\n".join(result)


def wordless(document):
    """(path, instruction) of each that has no word."""
    found, path = [], None
    for line in document.split("\n"):
        opening = OPENING.match(line)
        if opening:
            path = opening.group(1)
        elif line == FENCE:
            path = None
        elif path and not split_line(line)[1]:
            found.append((path, split_line(line)[0]))
    return found
