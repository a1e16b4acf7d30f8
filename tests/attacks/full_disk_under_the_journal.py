#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file system of the journal of scripts becomes full, and the script helper is killed twice
while scripts run and wait; wanted: each script runs exactly once.
"""

import collections
import os
import signal
import subprocess
import tempfile
import time

import lib

COUNT = 60
AT_FIRST = 20
REMOVED = 30


def fill(path):
    """Uses up what room there is."""
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 512)
        except OSError:
            pass


def attack():
    names = [f"p{number:03d}" for number in range(COUNT)]
    scripts = {"ifup": "DIRECTORY/up", "ifdown": "DIRECTORY/down"}
    peers = {name: {"peer": lib.address(n), **scripts} for n, name in enumerate(names)}
    small = tempfile.mkdtemp()
    os.chmod(small, 0o755)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "none", small]
    subprocess.run(mount, check=True)
    try:
        options = ("--runtime-dir", small)
        with lib.Site(peers, auto=False, run=False, options=options) as site:
            for kind in ("up", "down"):
                site.script(kind, f'echo "{kind} $1" >> {site.directory}/ran; sleep 0.2')
            site.observe, site.control = f"{small}/observe.sock", f"{small}/control.sock"
            site.run()
            site.add(names[:AT_FIRST])
            time.sleep(2)
            fill(f"{small}/others")
            site.admin(*[f"ADD {name} {lib.address(n)}" for n, name in enumerate(names) if n >= AT_FIRST])
            for pause in (0.3, 3):
                time.sleep(pause)
                os.kill(site.helper("scripts"), signal.SIGKILL)
            time.sleep(6)
            site.admin(*[f"KILL {name}" for name in names[:REMOVED]])
            time.sleep(8)
            ran = collections.Counter(lib.file_text(site.path("ran")).split("\n")[:-1])
    finally:
        subprocess.run(["umount", "-l", small], check=True)
        os.rmdir(small)
    twice = [script for script, count in ran.items() if count > 1]
    wanted = [f"up {name}" for name in names] + [f"down {name}" for name in names[:REMOVED]]
    lost = [script for script in wanted if script not in ran]
    lib.wanted("no script ran twice", not twice, twice)
    lib.wanted("all ran", not lost, lost)


lib.run(attack)
