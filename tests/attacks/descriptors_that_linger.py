#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""An ordinary user sends core descriptors of connections whose close waits for a minute, in each
way there is to have core close them; wanted: nobody else waits. From Linux 6.16 on the kernel refuses
to send any.
"""

import array
import os
import socket
import struct
import time

import lib

LINGER = 60
MOST = 2
TRIES = 12


def kernel():
    """The version of the kernel, as two numbers."""
    return tuple(int(part) for part in os.uname().release.split(".")[:2])


def lingering():
    """The only descriptor of a connection whose close waits, and its other side."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    ours = socket.socket()
    ours.connect(listener.getsockname())
    theirs, _ = listener.accept()
    ours.setblocking(False)
    try:
        while True:
            ours.send(b"x" * 65536)
    except BlockingIOError:
        pass
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER))
    return ours.detach(), theirs


def send(connection, words, flags=0):
    """Sends a message with such a descriptor, of which the receiver has the last copy."""
    descriptor, theirs = lingering()
    carried = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
    connection.sendmsg([words], carried, flags)
    os.close(descriptor)
    return theirs


def asking(site):
    """It comes with a request."""
    connection = lib.connect(site.observe)
    connection.sendall(lib.hello())
    return connection, send(connection, lib.STATUS)


def urgent(site):
    """It comes with an urgent byte."""
    connection = lib.connect(site.observe)
    connection.sendall(lib.hello())
    return connection, send(connection, b"x", socket.MSG_OOB)


def commanding(site):
    """It comes by the other socket."""
    connection = lib.connect(site.control)
    return connection, send(connection, lib.hello())


def leaving(site):
    """It is never read."""
    connection = lib.connect(site.observe)
    theirs = send(connection, b"{")
    connection.close()
    return theirs


def crowding(site):
    """It is refused unread."""
    others = [lib.connect(site.observe) for _ in range(32)]
    connection = lib.connect(site.observe)
    return others, connection, send(connection, b"{")


def refused(site):
    """Whether the kernel refuses to send a descriptor to either socket."""
    said = []
    for path in (site.observe, site.control):
        try:
            send(lib.connect(path), b"x")
            said.append(False)
        except PermissionError:
            said.append(True)
    return all(said)


def attack():
    with lib.Site(lib.watched(200), options=("--control-mode", "666")) as site:
        time.sleep(3)
        if kernel() >= (6, 16):
            lib.wanted("the kernel refuses descriptors", refused(site), "on both sockets")
            return
        for way in (asking, urgent, commanding, leaving, crowding):

            def often(way=way):
                # Whether core's copy or ours is the last one is a race each time; who loses it
                # waits.
                for _ in range(TRIES):
                    if not os.fork():
                        kept = way(site)
                        time.sleep(LINGER)
                        os._exit(bool(kept))
                time.sleep(LINGER)

            attacker = lib.as_nobody(often)
            time.sleep(1)
            begun = time.monotonic()
            site.status(LINGER)
            took = time.monotonic() - begun
            lib.end(attacker)
            lib.wanted(f"another's status comes: {way.__doc__}", took < MOST, f"{took:.1f} s")
        rows = site.status()[1]
        lost = sum(row["statistics"]["lost"] for row in rows)
        lib.wanted("no ping is lost", lost == 0, f"{lost} lost")
        site.service.terminate()
        begun = time.monotonic()
        ended = lib.within(LINGER, lambda: site.service.poll() is not None)
        took = time.monotonic() - begun
        lib.wanted("the service ends", ended and took < 15, f"{took:.1f} s")


lib.run(attack)
