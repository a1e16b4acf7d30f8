#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stranger may write to a script by an access control list, or exchanges it between its check
and its start; wanted: neither is run.

Usage: scripts_that_others_may_write.py [SPIN]; SPIN is how long it waits between exchanges
"""

import collections
import os
import subprocess
import sys

import lib

RUNS = 5_000


def attack():
    with lib.own_directory() as directory, lib.ScriptHelper(directory) as core:
        own(core, directory)
        by_list(core, directory)
        by_exchange(core, directory)


def own(core, directory):
    script = f"{directory}/own"
    with open(script, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\n")
    os.chmod(script, 0o755)
    ended = core.run(script)
    lib.wanted("a script that only root may write is run", ended == {"exited": 0}, ended)


def by_list(core, directory):
    script = f"{directory}/listed"
    with open(script, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\nid -u > {directory}/listed.out\n")
    os.chmod(script, 0o755)
    if not lib.let_nobody_write(script):
        return
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    write = f"echo '# changed by nobody' >> {script}"
    written = subprocess.run([*drop, "sh", "-c", write], capture_output=True, check=False)
    ended = core.run(script)
    refused = "not-started" in ended
    lib.wanted(
        "a script that a list lets nobody write is refused",
        written.returncode != 0 or refused,
        ended,
    )


def by_exchange(core, directory):
    sticky, proof = f"{directory}/sticky", f"{directory}/proof"
    os.mkdir(sticky)
    os.chmod(sticky, 0o1777)
    open(proof, "w", encoding="utf-8").close()
    os.chmod(proof, 0o600)
    spin = int(sys.argv[1]) if len(sys.argv) > 1 else 300

    def exchange():
        os.mkdir(f"{sticky}/hidden")
        script = f"{sticky}/hidden/script"
        with open(script, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nid -u >> {proof}\n")
        os.chmod(script, 0o755)
        while True:
            os.rename(f"{sticky}/hidden", f"{sticky}/d")
            os.rename(f"{sticky}/d", f"{sticky}/hidden")
            for _ in range(spin):
                pass

    attacker = lib.as_nobody(exchange)
    ends = collections.Counter()
    for _ in range(RUNS):
        ended = core.run(f"{sticky}/d/script")
        ends[ended if isinstance(ended, str) else next(iter(ended))] += 1
    lib.end(attacker)
    users = lib.file_text(proof).split()
    lib.wanted("a script of nobody is never run", not users, f"{len(users)} times; {dict(ends)}")


lib.run(attack)
