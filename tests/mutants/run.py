#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes single places of the code that decides (mutants), and counts what no test notices.

A sample of all mutants is tried: against the unit and property tests of its package, and what
survives them against whole sites in simulated time. The order of the mutants follows from the seed
and from what a mutant is, so a change of one function leaves the order of all others as it was.
Each outcome is appended to a file of the repository at once, so a run that was ended goes on where
it was, also on another machine. A mutant that survived is tried again in the next call, since a
test may have been added meanwhile.

Needs cargo-mutants, which makes the mutants. Exit status: 0 enough were caught, 1 too few, 2 the
run itself did not work.
"""

import argparse
import collections
import contextlib
import hashlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

# Core's decisions, liveness, the queue and the recovery of scripts, and the session. Names of
# directories end with a slash.
PLACES = [
    "connect-core/src/machine/",
    "lib/liveness/src/",
    "connect-ifscripts/src/machine/",
    "connect-ifscripts/src/journal/",
    "connect-ifscripts/src/ledger/",
    "connect-ifscripts/src/marks/",
    "connect-ifscripts/src/ledger.rs",
    "connect-ifscripts/src/marks.rs",
    "connect-ifscripts/src/queue.rs",
    "connect-ifscripts/src/adopted.rs",
    "connect-ifscripts/src/earlier.rs",
    "connect-ifscripts/src/succession.rs",
    "lib/tripe-admin/src/session.rs",
]

# How many in a hundred must be caught.
BAR = 95

# What takes longer than this many times what it takes without a change stands still.
PATIENCE = 5

# Seconds that are added, for a machine that is busy.
SPARE = 120

UNVIABLE = "does not compile"
TESTS = "caught by the tests"
STUCK = "caught: the tests do not end"
STORMS = "caught by the simulation"
STORMS_STUCK = "caught: the simulation does not end"
SURVIVED = "survived"


class Fault(Exception):
    """The run itself does not work."""


class Mutant:
    """A change of one place."""

    def __init__(self, listed, seed, counts):
        self.name = listed["name"]
        self.package = listed["package"]
        self.diff = listed["diff"]
        # Without line numbers, which change with what stands above. Some are alike but for their
        # place: they are told apart by their number.
        alike = "\n".join(line for line in self.diff.split("\n") if not line.startswith("@@"))
        counts[alike] += 1
        self.key = hashlib.sha256(f"{alike}\n{counts[alike]}".encode()).hexdigest()[:16]
        self.order = hashlib.sha256(f"{seed} {self.key}".encode()).digest()


def every_mutant(seed):
    """All mutants, in the order of the seed."""
    command = ["cargo", "mutants", "--list", "--json", "--diff", "--colors", "never"]
    for place in PLACES:
        if not Path(place).exists():
            raise Fault(f"{place} is not there: correct the list in {__file__}")
        command.append("--file=" + (place + "**/*.rs" if place.endswith("/") else place))
    listed = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    counts = collections.Counter()
    mutants = [Mutant(one, seed, counts) for one in listed]
    for place in PLACES:
        if not any(one["file"].startswith(place) for one in listed):
            print(f"{place} has no mutants")
    if not mutants:
        raise Fault("there are no mutants")
    return sorted(mutants, key=lambda mutant: mutant.order)


class Outcomes:
    """What became of each mutant: a line for each, of which the last counts."""

    def __init__(self, file):
        self.file = file
        self.of = {}
        self.commits = {}
        self.lock = threading.Lock()
        shown = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], check=True, stdout=subprocess.PIPE, text=True
        )
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", f":!{file}"]).returncode
        self.commit = shown.stdout.strip() + ("-dirty" if changed else "")
        if not file.exists():
            file.write_text("# tests/mutants/run.py: mutant, commit, outcome, what it changes\n")
        for line in file.read_text().splitlines()[1:]:
            key, commit, outcome, _ = line.split("\t")
            self.of[key] = outcome
            self.commits[key] = commit

    def add(self, mutant, outcome):
        """Notes what became of one."""
        with self.lock:
            self.of[mutant.key] = outcome
            self.commits[mutant.key] = self.commit
            with self.file.open("a") as file:
                file.write(f"{mutant.key}\t{self.commit}\t{outcome}\t{mutant.name}\n")
            print(f"{len(self.of):>5}  {outcome}: {mutant.name}", flush=True)


class Ended:
    """How a program ended: its status, None if it was ended after its time."""

    def __init__(self, command, log, limit, tree, until=None):
        """Runs it; `until` ends it at the first line with this text, which is a failure."""
        began = time.monotonic()
        self.status = None
        # A group of its own, so that whatever it has started ends with it.
        process = subprocess.Popen(
            command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        late = threading.Event()

        def end():
            late.set()
            kill(process)

        timer = threading.Timer(limit, end)
        timer.start()
        failed = False
        try:
            with log.open("ab") as file:
                for line in process.stdout:
                    file.write(line)
                    if until is not None and until in line:
                        failed = True
                        break
        finally:
            timer.cancel()
            kill(process)
            status = process.wait()
        if not late.is_set():
            self.status = 1 if failed else status
        self.seconds = time.monotonic() - began


def kill(process):
    """Ends a program and all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Worker:
    """Tries one mutant after the other, in a copy of the sources."""

    def __init__(self, directory, storms):
        self.tree = directory / "tree"
        self.target = directory / "target"
        self.log = directory / "log"
        self.storms = storms
        # Seconds that each takes without a change.
        self.usual = {}
        shutil.rmtree(self.tree, ignore_errors=True)
        self.tree.mkdir(parents=True)
        files = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
        archive = directory / "tree.tar"
        subprocess.run(["tar", "-c", "--null", "-T-", "-f", archive], input=files, check=True)
        # Cargo takes a file for the one that it has built if its time is older: it gets the present.
        subprocess.run(["tar", "-x", "--touch", "-f", archive, "-C", self.tree], check=True)
        archive.unlink()

    def cargo(self, *arguments):
        return ["cargo", *arguments, "--locked", "--target-dir", self.target]

    def build_tests(self, package):
        return Ended(self.cargo("test", "--no-run", "--lib", "-p", package), self.log, 3600, self.tree)

    def test(self, package, limit):
        command = self.cargo("test", "--lib", "-p", package)
        return Ended(command, self.log, limit, self.tree, until=b" ... FAILED")

    def build_storms(self):
        command = self.cargo("build", "--profile", "search", "-p", "simulation")
        return Ended(command, self.log, 3600, self.tree)

    def play(self, limit):
        command = [self.target / "search/simulation", "--seeds", str(self.storms), "--failures", "1"]
        return Ended(command, self.log, limit, self.tree)

    def without_a_change(self, what, build, run):
        """How long something may take: it must succeed in the sources as they are."""
        if what not in self.usual:
            if build().status != 0 or (ended := run(3600)).status != 0:
                raise Fault(f"{what} fails without any change: see {self.log}")
            self.usual[what] = ended.seconds
        return self.usual[what] * PATIENCE + SPARE

    def outcome(self, mutant):
        """What becomes of a mutant."""
        package = mutant.package
        limit = self.without_a_change(
            package, lambda: self.build_tests(package), lambda limit: self.test(package, limit)
        )
        self.log.write_text(f"{mutant.name}\n{mutant.diff}\n")
        with self.changed(mutant):
            if self.build_tests(package).status != 0:
                return UNVIABLE
            tests = self.test(package, limit).status
            if tests != 0:
                return STUCK if tests is None else TESTS
        limit = self.without_a_change("simulation", self.build_storms, self.play)
        with self.changed(mutant):
            if self.build_storms().status != 0:
                raise Fault(f"the simulation cannot be built: see {self.log}")
            storms = self.play(limit).status
        if storms not in (None, 0, 1):
            raise Fault(f"the storms could not be played: see {self.log}")
        return {None: STORMS_STUCK, 0: SURVIVED, 1: STORMS}[storms]

    @contextlib.contextmanager
    def changed(self, mutant):
        """Makes a change and takes it back. Both give the file a new time, so that it is built."""
        command = ["patch", "--batch", "--quiet", "--strip=0", "--fuzz=0"]
        command += ["--no-backup-if-mismatch", "-d", self.tree]
        diff = mutant.diff.encode()
        subprocess.run(command, input=diff, check=True)
        try:
            yield
        finally:
            subprocess.run([*command, "--reverse"], input=diff, check=True)


def try_all(mutants, workers, outcomes):
    """Tries mutants, one in each worker at a time."""
    waiting = queue.Queue()
    for mutant in mutants:
        waiting.put(mutant)
    faults = []

    def work(worker):
        try:
            while not faults:
                mutant = waiting.get_nowait()
                outcomes.add(mutant, worker.outcome(mutant))
        except queue.Empty:
            pass
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def run(options):
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    outcomes = Outcomes(options.outcomes)
    everything = every_mutant(options.seed)
    workers = [Worker(output / f"worker-{n}", options.storms) for n in range(options.jobs)]
    tried = set()
    while True:
        # Up to the last of them that is needed, whatever they are.
        sample = []
        viable = 0
        for mutant in everything:
            if viable == options.viable:
                break
            sample.append(mutant)
            viable += outcomes.of.get(mutant.key) != UNVIABLE
        left = [
            mutant
            for mutant in sample
            if mutant.key not in tried and outcomes.of.get(mutant.key) in (None, SURVIVED)
        ]
        if not left:
            break
        tried.update(mutant.key for mutant in left)
        try_all(left, workers, outcomes)

    sample = [mutant for mutant in sample if outcomes.of[mutant.key] != UNVIABLE]
    if not sample:
        raise Fault("no mutant compiles")
    count = collections.Counter(outcomes.of[mutant.key] for mutant in sample)
    commits = sorted({outcomes.commits[mutant.key] for mutant in sample})
    print(f"{len(everything)} mutants; seed {options.seed}; {len(sample)} that compile, tried on:")
    print(*(f"  {commit}" for commit in commits), sep="\n")
    for outcome, number in sorted(count.items()):
        print(f"{number:>6}  {outcome}")
    for mutant in sample:
        if outcomes.of[mutant.key] == SURVIVED:
            print(f"survived: {mutant.name}")
    return 0 if count[SURVIVED] * 100 <= len(sample) * (100 - BAR) else 1


def positive(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    for name, default, what in [
        ("--viable", 150, "how many that compile"),
        ("--seed", 1, "which ones"),
        ("--storms", 50, "how many for what the tests miss"),
        ("--jobs", 2, "how many at a time"),
    ]:
        parser.add_argument(name, type=positive, default=default, help=f"{what} (default: {default})")
    parser.add_argument(
        "--outcomes",
        type=Path,
        default=Path("docs/development/mutants.tsv"),
        help="where outcomes are kept (default: %(default)s)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("target/mutants"), help="where to keep everything else"
    )
    options = parser.parse_args()
    os.chdir(Path(__file__).resolve().parents[2])
    try:
        return run(options)
    except (Fault, OSError, ValueError, subprocess.CalledProcessError) as error:
        print(f"{sys.argv[0]}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
