"""What a run says: figures with their goals, peers, and at the end whether every goal was met."""
import json
import os
import platform
import shutil
import subprocess
import sys


class MissingPeer(Exception):
    pass


def need(program, package):
    """The path of a program that a figure is measured with or against."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise MissingPeer(f"{program} is missing: apt-get install {package}, or tools/setup --bench")
    return path


class Report:
    def __init__(self, options):
        self.options, self.suite, self.figures, self.peers, self.failed = options, "", [], [], 0
        self.machine = {"cpus": len(os.sched_getaffinity(0)), "kernel": platform.release(), "load": os.getloadavg()[0]}

    @property
    def quick(self):
        return self.options.quick

    def begin(self, suite):
        self.suite = suite

    def say(self, text):
        """Progress, for the person who waits."""
        print(f"bench: {text}", file=sys.stderr, flush=True)

    def peer(self, name, version_argv, command=None):
        """Puts down which peer is measured, and how it is started."""
        text = subprocess.run(version_argv, capture_output=True, text=True)
        version = ((text.stdout or text.stderr).strip().splitlines() or ["?"])[0]
        entry = {"suite": self.suite, "name": name, "version": version, "command": command or " ".join(map(str, version_argv))}
        self.peers.append(entry)
        if not self.options.json:
            print(f"{self.suite}: peer {name}: {version}\n    {entry['command']}", flush=True)

    def missing(self, why):
        self.failed += 1
        self.figures.append({"suite": self.suite, "name": why, "met": False})
        print(f"{self.suite}: ERROR: {why}", file=sys.stderr, flush=True)

    def figure(self, name, value, unit="", at_most=None, at_least=None, note=""):
        """One result. Without a goal it only informs."""
        met = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
        goal = f"at most {at_most:g}" if at_most is not None else f"at least {at_least:g}" if at_least is not None else ""
        self.failed += not met
        self.figures.append({"suite": self.suite, "name": name, "value": value, "unit": unit, "goal": goal, "met": met, "note": note})
        if not self.options.json:
            verdict = "" if not goal else f"   {goal} {unit}: {'met' if met else 'MISSED'}"
            print(f"{self.suite}: {name}: {number(value)} {unit}{verdict}{f'   ({note})' if note else ''}", flush=True)

    def end(self):
        goals = [f for f in self.figures if f.get("goal")]
        if self.options.json:
            print(json.dumps({"machine": self.machine, "peers": self.peers, "figures": self.figures}, indent=1))
        else:
            print(f"{len(goals)} goals, {self.failed} missed")
        return 1 if self.failed else 0


def number(v):
    return f"{v:,.0f}" if abs(v) >= 1000 else f"{v:.3g}"
