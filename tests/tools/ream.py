"""What the tests of the command share. $REAM is the command, $REAM_KNOWN the program of known.cc,
$REAM_KNOWN_STATIC the same linked with libream.a."""
import os
import subprocess
import sys

REAM = os.environ["REAM"]
KNOWN = os.environ["REAM_KNOWN"]
KNOWN_STATIC = os.environ["REAM_KNOWN_STATIC"]
PYTHON = sys.executable

# Not what the surroundings of the test happen to say.
for name in list(os.environ):
    if name in ("NO_COLOR", "COLUMNS", "LD_PRELOAD") or name.startswith("REAM_"):
        del os.environ[name]
os.environ["LC_ALL"] = "C"


def ream(*arguments, **options):
    """The command, run to its end; texts of stdout and stderr are kept."""
    options = {"text": True, "capture_output": True, "timeout": 300, "stdin": subprocess.DEVNULL, **options}
    return subprocess.run([REAM, *arguments], **options)


def number(text):
    return int(text.replace(",", ""))
