#!/usr/bin/env python3
"""Rules of the source tree that matter: who may include whom, what raft/ may use, no sleeping in tests, no machine paths.

usage: check_tree.py RULE ROOT     (exit code 1 and a line for each offence)
"""

import pathlib
import re
import subprocess
import sys

# A folder may include itself and these (docs/architecture.md).
MAY_INCLUDE = {
    "proto": set(),
    "raft": set(),
    "storage": {"raft", "proto"},
    "server": {"raft", "storage", "proto"},
    "client": {"proto"},
}
FOLDERS = set(MAY_INCLUDE) | {"tests", "benchmarks"}
# The Raft core is a pure state machine: plain values of the standard library and abseil, nothing that waits, tells the time
# by itself, or draws from an unseeded source.
RAFT_STD = set(
    "algorithm array bit cassert compare concepts cstddef cstdint cstdlib cstring deque functional initializer_list "
    "iostream iterator limits map memory numeric optional ostream queue random ranges set span sstream string string_view "
    "tuple type_traits utility variant vector".split()
)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
SLEEP = re.compile(r"\b(sleep_for|sleep_until|SleepFor|usleep|nanosleep)\s*\(|\bsleep\s*\(\s*\d|time\.sleep\(")
MACHINE_PATH = re.compile(r"(?<![\w.])/(home|root|work|Users)/\w")


def tracked(root, *patterns):
    out = subprocess.run(
        ["git", "-C", str(root), "ls-files", "--", *patterns], check=True, capture_output=True, text=True
    ).stdout
    return [root / line for line in out.splitlines() if (root / line).is_file()]


def includes(path):
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1), match.group(2)


def folder_order(root):
    for path in tracked(root, "*.h", "*.cc"):
        folder = path.relative_to(root).parts[0]
        allowed = MAY_INCLUDE.get(folder)
        if allowed is None:
            continue
        for number, quote, target in includes(path):
            other = target.split("/")[0]
            if quote == '"' and other in FOLDERS and other != folder and other not in allowed:
                yield f"{path.relative_to(root)}:{number}: {folder}/ may not include {target}"


def raft_is_pure(root):
    for path in tracked(root, "raft/*.h", "raft/*.cc"):
        for number, quote, target in includes(path):
            if quote == '"' and (target.startswith("raft/") or target.startswith("absl/")):
                if target.startswith(("absl/synchronization", "absl/time/clock")):
                    yield f"{path.relative_to(root)}:{number}: {target} is not for the Raft core"
            elif quote == "<" and target in RAFT_STD:
                continue
            elif target == "cstdio" and path.name == "check.cc":
                continue  # the last words of a process that ends
            else:
                yield f"{path.relative_to(root)}:{number}: {target} is not for the Raft core"


def no_sleeps_in_tests(root):
    for path in tracked(root, "tests/*.cc", "tests/*.h", "tests/*.py"):
        if path.name == "check_tree.py":
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if SLEEP.search(line) and "allowed-sleep:" not in line:
                yield f"{path.relative_to(root)}:{number}: a sleep (wait for the event; or end the line with 'allowed-sleep: why')"


def no_machine_paths(root):
    for path in tracked(root):
        if path.suffix in {".png", ".svg"} or path.name == "check_tree.py":
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line):
                yield f"{path.relative_to(root)}:{number}: a path of one machine: {line.strip()[:80]}"


def formatted(root):
    paths = [str(path) for path in tracked(root, "*.h", "*.cc")]
    result = subprocess.run(
        ["clang-format", "--dry-run", *paths], cwd=root, capture_output=True, text=True, check=False
    )
    seen = set()
    for line in result.stderr.splitlines():
        if "warning:" in line:
            name = line.split(":")[0]
            if name not in seen:
                seen.add(name)
                yield f"{name}: not formatted (clang-format -i)"


RULES = {
    "folder-order": folder_order,
    "raft-is-pure": raft_is_pure,
    "no-sleeps-in-tests": no_sleeps_in_tests,
    "no-machine-paths": no_machine_paths,
    "formatted": formatted,
}


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in RULES:
        print(__doc__ + "\nrules: " + " ".join(RULES), file=sys.stderr)
        return 2
    offences = list(RULES[sys.argv[1]](pathlib.Path(sys.argv[2]).resolve()))
    for offence in offences:
        print(offence)
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
