#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stranger may write to a script by an access control list, or exchanges it between its check
and its start; wanted: neither is run.

Usage: scripts_that_others_may_write.py [SPIN]; SPIN is how long it waits between exchanges
"""

import collections
import os
import socket
import struct
import subprocess
import sys
import tempfile

import lib

RUNS = 5_000
EVERYBODY = 0xFFFFFFFF
# Tag, rights and user of each entry: the user nobody may write.
LIST = [
    (1, 7, EVERYBODY),
    (2, 7, lib.NOBODY),
    (4, 5, EVERYBODY),
    (16, 7, EVERYBODY),
    (32, 5, EVERYBODY),
]


class Core:
    """Core as the helper sees it."""

    def __init__(self, listener):
        self.connection, _ = listener.accept()
        self.connection.settimeout(30)
        self.file = self.connection.makefile("rb")
        self.connection.sendall(lib.hello("core"))
        self.send({"ready": {}})
        self.number = 0

    def send(self, message):
        self.connection.sendall(lib.json.dumps(message).encode() + b"\n")

    def run(self, path):
        """Has a script run, and gives its end."""
        self.number += 1
        run = {"run": self.number, "peer": "x", "kind": "ifup", "environment": [], "limit": None}
        self.send({"run": [{**run, "command": {"exec": [path]}}]})
        while True:
            message = lib.json.loads(self.file.readline())
            if "ended" in message:
                return message["ended"]["end"]


def attack():
    with tempfile.TemporaryDirectory(prefix="attack", ignore_cleanup_errors=True) as directory:
        os.chmod(directory, 0o755)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{directory}/helpers.sock")
        listener.listen(4)
        listener.settimeout(10)
        socket_option = ("--socket", f"{directory}/helpers.sock")
        helper = lib.start("connect-ifscripts", *socket_option, log=f"{directory}/log")
        core = Core(listener)
        try:
            by_list(core, directory)
            by_exchange(core, directory)
        finally:
            lib.stop(helper)


def by_list(core, directory):
    script = f"{directory}/listed"
    with open(script, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\nid -u > {directory}/listed.out\n")
    os.chmod(script, 0o755)
    packed = b"".join(struct.pack("<HHI", *entry) for entry in LIST)
    try:
        os.setxattr(script, "system.posix_acl_access", struct.pack("<I", 2) + packed)
    except OSError as error:
        print("no access control lists here:", error)
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
