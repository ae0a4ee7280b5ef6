#!/usr/bin/env python3
"""The walls of src/: a folder includes only what its weir_library(... DEPS ...) names.

A header's include is an arrow that a linker may never see; this holds it to the same list. It also
holds that every arrow goes to a lower row, and that a planted wrong arrow is caught.
"""
import os
import re
import sys

ROWS = {"base": 0, "io": 1, "wire": 1, "kernels": 2.0, "model": 2.1, "grammar": 2.15, "template": 2.15, "train": 2.2, "serve": 2.2, "compress": 2.3,
        "sched": 2, "blueprint": 2, "plan": 2, "market": 2, "learn": 2, "data": 2, "guard": 2, "control": 3, "gateway": 4, "app": 5}


def folder_of(path):
    """The library that a path below src/ belongs to."""
    parts = path.split("/")
    if parts[0] in ("engine", "lab"):
        return parts[1]
    return parts[0]


def declared(src):
    deps = {}
    for where, _, names in os.walk(src):
        if "CMakeLists.txt" in names:
            text = open(os.path.join(where, "CMakeLists.txt"), encoding="utf-8").read()
            for match in re.finditer(r"weir_library\((\w+)(.*?)\)", text, re.S):
                words = match.group(2).split()
                listed, on = [], False
                for word in words:
                    if word in ("DEPS", "LINK", "SUBDIRS"):
                        on = word == "DEPS"
                    elif on:
                        listed.append(word)
                deps[match.group(1)] = set(listed)
    return deps


def wrong(path, text, deps):
    """The includes of one file that break the walls."""
    own = folder_of(path)
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not match or "/" not in match.group(1):
            continue
        other = folder_of(match.group(1))
        if other == own:
            continue
        if other not in ROWS:
            found.append(f"src/{path}:{number}: \"{match.group(1)}\" is not rooted at a folder of src/")
        elif other not in deps.get(own, set()):
            found.append(f"src/{path}:{number}: {own} includes {other}, which its DEPS do not name")
    return found


def main(root):
    src = os.path.join(root, "src")
    deps = declared(src)
    problems = [f"{a} depends on {b}, which is not on a lower row"
                for a, bs in deps.items() for b in bs if ROWS[b] >= ROWS[a]]
    files = 0
    for where, _, names in os.walk(src):
        for name in names:
            if name.endswith((".h", ".cc")):
                path = os.path.relpath(os.path.join(where, name), src)
                text = open(os.path.join(where, name), encoding="utf-8").read()
                problems += wrong(path, text, deps)
                files += 1
    for planted in ('base/x.h:#include "control/lab.h"', 'lab/sched/x.h:#include "engine/model/config.h"',
                    'wire/x.h:#include "io/clock.h"'):
        path, line = planted.split(":", 1)
        if not wrong(path, line, deps):
            problems.append(f"the test itself is blind: it let {planted} pass")
    for problem in problems:
        print(problem)
    print(f"{files} files, {len(problems)} wrong arrows")
    return 1 if problems else 0


sys.exit(main(sys.argv[1]))
