#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers have names that look like options or read backwards, and scripts write control
characters for the operator's terminal; wanted: all works, no such character reaches a terminal or
the log, and what goes into a file stays as it came. A process in a user namespace of its own says that it is root; wanted: it is no helper.
"""

import contextlib
import ctypes
import os
import pty
import subprocess
import threading
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


class Terminal:
    """A terminal on which a program writes."""

    def __init__(self, *command, environment):
        self.data = b""
        reading, writing = pty.openpty()
        self.process = subprocess.Popen(
            [f"{lib.BIN}/{command[0]}", *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            # Without colours, of which the program would write the sequences itself.
            env={**environment, "TERM": "dumb"},
        )
        os.close(writing)
        self.reader = threading.Thread(target=self.read, args=(reading,), daemon=True)
        self.reader.start()

    def read(self, reading):
        # Linux says EIO at the end.
        with contextlib.suppress(OSError):
            while data := os.read(reading, 4096):
                self.data += data

    def whole(self):
        """All that was written, once the program has ended."""
        self.reader.join(30)
        return self.data


def control_characters(data):
    """Which of the characters that matter are in what a terminal or log gets."""
    odd = (("ESC", b"\x1b"), ("BEL", b"\x07"), ("RLO", "\u202e".encode()))
    return [name for name, byte in odd if byte in data]


def attack():
    dying = {"watch": "t", "every": "1s", "timeout": "1s", "retries": "1"}
    peers = {
        "esc": {"peer": lib.address(0), "connect": ESCAPES},
        "-x": {"peer": lib.address(1), **dying, "ifup": "/bin/true", "ifdown": "/bin/true"},
        REVERSED: {"peer": lib.address(2)},
        LONG: {"peer": lib.address(3)},
    }
    with lib.Site(peers, auto=False, options=["--helpers-mode", "666"]) as site:
        where = {**lib.ENVIRONMENT, "TRIPESOCK": site.admin_socket, "TRIPEDIR": site.directory}

        def terminal(*words):
            return Terminal("connect-cli", *words, environment=where)

        watching = {
            "admin --watch": terminal("admin", "--watch"),
            "events": terminal("events"),
            "events --json": terminal("events", "--json"),
        }
        site.start("connect-cli", "-a", site.admin_socket, "admin", "--watch", log=site.path("watch"))
        time.sleep(0.7)
        site.cli("active", "esc")
        for name in ("-x", REVERSED, LONG):
            output = site.cli("submit", "active", name)
            lib.wanted(
                f"{name[:8]!a} is added, or refused with a reason",
                output.returncode == 0 or output.stderr,
                output.stderr.strip()[:60],
            )
        lib.within(10, lambda: b"exited" in watching["events"].data)
        site.admin("LAB SILENCE -x")
        gone = lib.within(15, lambda: not any("-x" in line for line in site.admin("LIST")))
        lib.wanted("a dead peer named -x is removed", gone, site.admin("LIST"))
        lib.stop(*(it.process for it in watching.values()))
        shown = {name: it.whole() for name, it in watching.items()}
        for words in (
            ("status",),
            ("status", "--json"),
            ("submit", "list-active"),
            ("submit", "info", "esc"),
            ("info", REVERSED),
            ("admin", "LIST"),
            ("admin", "--json", "LIST"),
        ):
            shown[" ".join(words)] = terminal(*words).whole()
        with open(site.log, "rb") as file:
            shown["the log"] = file.read()
        for name, data in shown.items():
            found = control_characters(data)
            wanted = data and not found
            lib.wanted(f"{name!a} has no control characters", wanted, found or f"{len(data)} bytes")
        with open(site.path("watch"), "rb") as file:
            lib.wanted("a file has them as they came", control_characters(file.read()))
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
                "may not be this helper" in said,
                said.splitlines()[-1],
            )


lib.run(attack)
