#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stranger puts a script of its own in the place of another, without pause, while the script
helper checks and starts it as root; wanted: no script of the stranger is ever run, and root's own
always is.

Usage: scripts_exchanged_by_a_race.py [SECONDS]; the record is of 600
"""

import collections
import contextlib
import os
import signal
import sys
import time

import lib

# Each way of attacking has the machine to itself for so long, then the next one.
SLICE = 0.5
# So many runs under attack, then one of root's own script.
RUNS = 10


class Place:
    """The directory in which all happens, with the proof of what was run."""

    def __init__(self, directory):
        self.directory = directory
        self.proof = f"{directory}/proof"
        with open(self.proof, "x", encoding="utf-8"):
            os.chmod(self.proof, 0o600)
        self.write("own", f"#!/bin/sh\necho own >> {self.proof}\n")

    def __call__(self, name):
        return f"{self.directory}/{name}"

    def good(self):
        """The text of a script of root."""
        return f"#!/bin/sh\necho good >> {self.proof}\n"

    def evil(self, way):
        """The text of a script of the stranger."""
        return f"#!/bin/sh\necho {way} $(id -u) >> {self.proof}\n"

    def write(self, name, text):
        """Writes a script."""
        with open(self(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self(name), 0o755)

    def directory_of(self, name, *, mode=0o755, nobody=False):
        """Makes a directory."""
        os.mkdir(self(name))
        os.chmod(self(name), mode)
        if nobody:
            os.chown(self(name), lib.NOBODY, lib.NOBODY)

    def exchange(self, name, good, evil):
        """Has a name stand for one file, then for another, for ever."""
        os.rename(self(good), self(name))
        while True:
            os.rename(self(name), self(good))
            os.rename(self(evil), self(name))
            os.rename(self(name), self(evil))
            os.rename(self(good), self(name))


# The ways. Each prepares its place as root, and gives the program to be run and what the stranger
# does.


def sticky(place):
    """An entry of a sticky directory, which is there only now and then."""
    place.directory_of("sticky", mode=0o1777)

    def attack():
        os.mkdir(place("sticky/hidden"))
        place.write("sticky/hidden/script", place.evil("sticky"))
        while True:
            os.rename(place("sticky/hidden"), place("sticky/d"))
            os.rename(place("sticky/d"), place("sticky/hidden"))
            for _ in range(300):
                pass

    return place("sticky/d/script"), attack


def link(place):
    """A directory of the stranger's, reached over a link of root."""
    place.directory_of("theirs", nobody=True)
    os.symlink("theirs/script", place("link"))
    place.write("theirs/good", place.good())

    def attack():
        place.write("theirs/evil", place.evil("link"))
        place.exchange("theirs/script", "theirs/good", "theirs/evil")

    return place("link"), attack


def content(place):
    """A script of root that a list lets the stranger write."""
    place.write("listed", place.good())
    if not lib.let_nobody_write(place("listed")):
        return None

    def attack():
        while True:
            for text in (place.evil("content"), place.good()):
                # Nobody may write to what is being executed.
                with contextlib.suppress(OSError):
                    with open(place("listed"), "w", encoding="utf-8") as file:
                        file.write(text)
                for _ in range(20_000):
                    pass

    return place("listed"), attack


def entry(place):
    """A directory of root that a list lets the stranger write."""
    place.directory_of("shared")
    place.write("shared/good", place.good())
    if not lib.let_nobody_write(place("shared")):
        return None

    def attack():
        place.write("shared/evil", place.evil("entry"))
        place.exchange("shared/script", "shared/good", "shared/evil")

    return place("shared/script"), attack


def group(place):
    """A directory of root that the stranger's group may write to."""
    place.directory_of("groups", mode=0o775)
    os.chown(place("groups"), 0, lib.NOBODY)
    place.write("groups/good", place.good())

    def attack():
        place.write("groups/evil", place.evil("group"))
        place.exchange("groups/script", "groups/good", "groups/evil")

    return place("groups/script"), attack


def search(place):
    """A directory of PATH that is the stranger's, in which a program comes and goes."""
    place.directory_of("p", nobody=True)

    def attack():
        place.write("p/hidden", place.evil("search"))
        while True:
            os.rename(place("p/hidden"), place("p/true2"))
            os.rename(place("p/true2"), place("p/hidden"))

    return "true2", attack


def missing(place):
    """A name in a directory of the stranger's that is made and removed."""
    place.directory_of("empty", nobody=True)

    def attack():
        while True:
            place.write("empty/script", place.evil("missing"))
            os.remove(place("empty/script"))

    return place("empty/script"), attack


def come_and_go(place):
    """A name in a sticky directory that is made and removed."""
    place.directory_of("public", mode=0o1777)

    def attack():
        while True:
            place.write("public/script", place.evil("come_and_go"))
            os.remove(place("public/script"))

    return place("public/script"), attack


WAYS = (sticky, link, content, entry, group, search, missing, come_and_go)


def kind(ended):
    """The end of a run in a few words."""
    if not isinstance(ended, dict):
        return str(ended)
    what, detail = next(iter(ended.items()))
    if what != "not-started":
        return what
    sentence = str(detail)
    sentences = ("written to by others", "belongs to", "no such file", "no directory of PATH")
    found = next((words for words in sentences if words in sentence), sentence[:200])
    return f"refused: {found}"


class Race:
    """A stranger for each way, all of them stopped but one."""

    def __init__(self, place, helper):
        self.place = place
        self.helper = helper
        self.ends = {way.__name__: collections.Counter() for way in WAYS}
        self.own = 0
        self.attackers = {}
        for way in WAYS:
            prepared = way(place)
            if prepared is None:
                continue
            program, attack = prepared
            attacker = lib.as_nobody(attack)
            os.kill(attacker, signal.SIGSTOP)
            self.attackers[way.__name__] = (program, attacker)

    def run(self, seconds):
        """Attacks, way by way, until the time is over."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            for way, (program, attacker) in self.attackers.items():
                os.kill(attacker, signal.SIGCONT)
                until = time.monotonic() + SLICE
                while time.monotonic() < until:
                    for _ in range(RUNS):
                        self.ends[way][kind(self.helper.run(program))] += 1
                    self.helper.run(self.place("own"))
                    self.own += 1
                os.kill(attacker, signal.SIGSTOP)

    def end(self):
        """Ends the strangers."""
        for _, attacker in self.attackers.values():
            lib.end(attacker)


def attack():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20
    with lib.own_directory() as directory:
        place = Place(directory)
        path = f"{place('p')}:/usr/bin"
        with lib.ScriptHelper(directory, path) as helper:
            race = Race(place, helper)
            try:
                race.run(seconds)
            finally:
                race.end()
        judge(race)


def judge(race):
    lines = lib.file_text(race.place.proof).splitlines()
    foreign = collections.Counter(line.split()[0] for line in lines if line not in ("own", "good"))
    for way in race.attackers:
        ends = race.ends[way]
        print(f"{way:12} {sum(ends.values()):7} runs, {foreign[way]:5} foreign; {dict(ends)}")
    runs = sum(sum(ends.values()) for ends in race.ends.values())
    total = sum(foreign.values())
    lib.wanted("no script of the stranger is run", total == 0, f"{total} of {runs}")
    own = lines.count("own")
    lib.wanted("root's own script always is", own == race.own > 0, f"{own} for {race.own}")


lib.run(attack)
