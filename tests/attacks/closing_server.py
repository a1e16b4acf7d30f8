#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server accepts connections and closes each at once; wanted: core retries at leisure, and
logs the reason once.
"""

import os
import socket
import tempfile
import threading
import time

import lib


def attack():
    with tempfile.TemporaryDirectory(prefix="attack") as directory:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{directory}/tripesock")
        listener.listen(8)
        connections = []

        def serve():
            while True:
                connection, _ = listener.accept()
                connections.append(None)
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        options = ("-a", f"{directory}/tripesock", "-d", directory, "--server-wait", "60s")
        core = lib.start("connect-core", *options, log=f"{directory}/log")
        time.sleep(10)
        computed = lib.cpu(core.pid)
        lib.stop(core)
        lines = len(lib.file_text(f"{directory}/log").splitlines())
        os.unlink(f"{directory}/tripesock")
    lib.wanted("under 10 connections in 10 s", 0 < len(connections) < 10, len(connections))
    lib.wanted("under 15 lines of log", lines < 15, lines)
    lib.wanted("under 0.5 s of computing", computed < 0.5, computed)


lib.run(attack)
