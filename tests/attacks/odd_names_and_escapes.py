#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers have names that look like options or read backwards, and scripts write control
characters for the operator's terminal; wanted: all works, and no such character reaches terminal
or log. A process in a user namespace of its own says that it is root; wanted: it is no helper.
"""

import contextlib
import ctypes
import os
import time

import lib

REVERSED = "rlo\u202egpj"
LONG = "long" + "n" * 240
ESCAPES = r"""printf 'AAAA\n\033]0;owned\007\033[2Jgone\n'"""
# See unshare(2), prctl(2).
CLONE_NEWUSER = 0x10000000
PR_SET_DUMPABLE = 4


def become_root_of_a_namespace():
    """Makes this process root, in a user namespace of its own."""
    libc = ctypes.CDLL(None)
    # A process that has dropped its rights may otherwise not write to its own files in /proc.
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER):
        raise OSError("no user namespace can be had here")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {user} 1"),
        ("gid_map", f"0 {group} 1"),
    ):
        file = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(file, text.encode())
        os.close(file)


def control_characters(data):
    """Which of the characters that matter are in what a terminal or log gets."""
    return [name for name, byte in (("ESC", b"\x1b"), ("BEL", b"\x07")) if byte in data]


def attack():
    dying = {"watch": "t", "every": "1s", "timeout": "1s", "retries": "1"}
    peers = {
        "esc": {"peer": lib.address(0), "connect": ESCAPES},
        "-x": {"peer": lib.address(1), **dying, "ifup": "/bin/true", "ifdown": "/bin/true"},
        REVERSED: {"peer": lib.address(2)},
        LONG: {"peer": lib.address(3)},
    }
    with lib.Site(peers, auto=False, options=["--helpers-mode", "666"]) as site:
        where = ("-a", site.admin_socket)
        site.start("connect-cli", *where, "admin", "--watch", log=site.path("watch"))
        site.start("connect-cli", *where, "events", log=site.path("events"))
        time.sleep(0.7)
        site.cli("active", "esc")
        for name in ("-x", REVERSED, LONG):
            output = site.cli("submit", "active", name)
            lib.wanted(
                f"{name[:8]!a} is added, or refused with a reason",
                output.returncode == 0 or output.stderr,
                output.stderr.strip()[:60],
            )
        lib.within(10, lambda: "exited" in lib.file_text(site.path("events")))
        site.admin("LAB SILENCE -x")
        gone = lib.within(15, lambda: not any("-x" in line for line in site.admin("LIST")))
        lib.wanted("a dead peer named -x is removed", gone, site.admin("LIST"))
        for name, data in (
            ("admin --watch", open(site.path("watch"), "rb").read()),
            ("events", open(site.path("events"), "rb").read()),
            ("status", site.cli("status").stdout.encode()),
            ("submit info", site.cli("submit", "info", "esc").stdout.encode()),
            ("the log", open(site.log, "rb").read()),
        ):
            found = control_characters(data)
            lib.wanted(f"{name} has no control characters", not found, found or "")
        reading, writing = os.pipe()

        def pose_as_helper():
            become_root_of_a_namespace()
            connection = lib.connect(site.helpers, 3)
            # Core may have closed the connection already, and said why.
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(lib.hello("ifscripts", "evil"))
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while received := connection.recv(4096):
                    os.write(writing, received)

        attacker = lib.as_nobody(pose_as_helper)
        os.close(writing)
        with open(reading, "rb") as file:
            said = file.read().decode()
        os.waitpid(attacker, 0)
        if said:
            lib.wanted(
                "a helper that is root in its own namespace only is refused",
                "may not be a helper" in said,
                said.splitlines()[-1],
            )


lib.run(attack)
