#!/usr/bin/python3
"""git: commits and merges with fixed dates, clone, gc, fsck; all objects and packs compared."""

import hashlib

import compare

DATES = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
         "GIT_AUTHOR_NAME": "A U Thor", "GIT_AUTHOR_EMAIL": "author@example.com",
         "GIT_COMMITTER_NAME": "C O Mitter", "GIT_COMMITTER_EMAIL": "committer@example.com",
         "GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}


def text_of(name, revision, lines):
    """A file whose lines change a little with each revision."""
    return "".join(
        hashlib.md5(f"{name}{i}{revision if i % 29 == revision % 29 else 0}".encode()).hexdigest()
        + "\n" for i in range(lines))


def fast_import_stream(commits, files):
    """A history with side branches, as `git fast-import` reads it."""
    out = []
    for number in range(1, commits + 1):
        side = number % 10 == 0
        out.append(f"commit refs/heads/{'side' if side else 'main'}\nmark :{number}\n"
                   "committer C O Mitter <committer@example.com> "
                   f"{1700000000 + 60 * number} +0000\n"
                   f"data {len(f'commit {number}')}\ncommit {number}\n")
        if number > 1:
            out.append(f"from :{number - 1}\n" if number % 10 != 1 else f"from :{number - 2}\n"
                       f"merge :{number - 1}\n")
        for file in range(files):
            if number == 1 or (file * 7 + number) % files < 4:
                text = text_of(f"f{file}", number, 40 + file * 5)
                out.append(f"M 100644 inline dir{file % 7}/file{file}\ndata {len(text)}\n{text}\n")
        out.append("\n")
    return "".join(out).encode()


def make_inputs(folder):
    with open(f"{folder}/history", "wb") as file:
        file.write(fast_import_stream(400, 80))


def scenario(this):
    def git(name, *arguments, cwd="repo", **options):
        # One thread: with more, which deltas are found depends on who is first.
        this.run(name, ["git", "-c", "pack.threads=1", "-c", "gc.auto=0", *arguments],
                 cwd=this.path(cwd), env=DATES, **options)

    git("init", "init", "-q", "-b", "main", "repo", cwd=".")
    with open(this.input("history"), "rb") as history:
        git("fast-import", "fast-import", "--quiet", stdin=history)
    git("checkout", "checkout", "-q", "main")
    git("log", "log", "--stat", "--format=fuller", "--graph", "main", "side")
    git("blame", "blame", "-l", "dir0/file14")
    git("grep", "grep", "-c", "abc")
    with open(this.path("repo", "dir1", "file1"), "a") as file:
        file.write("one line more\n")
    git("commit", "commit", "-q", "-a", "-m", "by hand")
    git("merge", "merge", "-q", "-m", "merge side", "side")
    git("repack", "repack", "-a", "-d", "-f", "-q", "--depth=50", "--window=30")
    git("gc", "gc", "--quiet", "--aggressive")
    git("fsck", "fsck", "--full", "--strict", "--no-progress")
    git("clone", "clone", "-q", "--no-local", "repo", "copy", cwd=".")
    git("fsck of the clone", "fsck", "--full", "--no-progress", cwd="copy")
    git("status", "status", "--porcelain", cwd="copy")
    git("bundle", "bundle", "create", "-q", "all.bundle", "--all", cwd="copy")
    git("diff", "diff", "--stat", "-M", "main~50", "main")
    # The many-threaded search too: what it finds may vary, that the repository is whole may not.
    git("repack, threads", "-c", "pack.threads=4", "repack", "-a", "-d", "-f", "-q", cwd="copy")
    git("fsck after it", "fsck", "--full", "--no-progress", cwd="copy")
    this.keep_tree("repo/.git/objects")
    this.keep_file("repo/dir0/file14")
    this.keep_file("copy/all.bundle")


if __name__ == "__main__":
    compare.main(scenario, make_inputs, needs=["git"])
