"""What the structure tests share: the repository's root, and small made-up trees to try rules on."""
import contextlib
import pathlib
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def made_up_tree(files):
    """A temporary folder with these files (path -> text)."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        yield root


def files_under(root, folders, suffixes):
    """Paths below the named folders, relative to root, sorted; folders that do not exist are empty."""
    found = []
    for folder in folders:
        for path in (root / folder).rglob("*"):
            if path.suffix in suffixes and path.is_file():
                found.append(path.relative_to(root))
    return sorted(found)


def layers_table(text):
    """The table of layers.txt: folder -> set of folders it may include besides itself."""
    table = {}
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if line:
            layer, _, lower = line.partition(":")
            table[layer.strip()] = set(lower.split())
    return table


def read_layers_table():
    return layers_table((ROOT / "tests/structure/layers.txt").read_text())


def assert_none(case, violations):
    """Fails the test case with one line a violation."""
    if violations:
        case.fail("\n" + "\n".join(violations))
