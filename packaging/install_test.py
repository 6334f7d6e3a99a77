#!/usr/bin/env python3
"""install_test.py SOURCE BUILD: what `meson install` leaves, that it starts, and that uninstalling takes it all away.

Installs into a folder of its own (DESTDIR); needs no root and no network.
"""
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAMS = ["auth", "core", "gate", "guests", "host", "metric", "net", "report", "storage", "supervisor", "vm"]
UNITS = ["core.service", "gate.service", "guests.service", "host.service", "metric.service", "net.service", "storage.service"]


def check(ok, what):
    if not ok:
        raise SystemExit(f"install_test: {what}\n0 passed, 1 failed")


def run(*argv, **env):
    r = subprocess.run(argv, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    check(r.returncode == 0, f"{' '.join(map(str, argv))}:\n{r.stdout.decode()}")
    return r.stdout.decode()


def options(build):
    import json
    all_of_them = json.loads(run("meson", "introspect", build, "--buildoptions"))
    return {o["name"]: o["value"] for o in all_of_them}


def check_files(dest, o):
    prefix = dest / o["prefix"].lstrip("/")
    libexec = prefix / o["libexecdir"] / "runnymede"
    sysconf = dest / str(Path(o["prefix"], o["sysconfdir"])).lstrip("/")
    pam = dest / "etc" if o["prefix"] in ("/usr", "/usr/local") else sysconf
    expected = {libexec / f"runnymede-{p}": 0o755 for p in PROGRAMS}
    expected |= {prefix / "lib/systemd/system" / f"runnymede-{u}": 0o644 for u in UNITS}
    for plain in (prefix / "lib/systemd/system/runnymede.target", prefix / "lib/sysusers.d/runnymede.conf",
                  prefix / "lib/tmpfiles.d/runnymede.conf", pam / "pam.d/runnymede", sysconf / "runnymede/runnymede.conf"):
        expected[plain] = 0o644
    for file, mode in expected.items():
        check(file.is_file(), f"{file} is missing")
        check(file.stat().st_mode & 0o7777 == mode, f"{file} has mode {file.stat().st_mode & 0o7777:o}, not {mode:o}")
    for unit in (prefix / "lib/systemd/system").glob("*.service"):
        text = unit.read_text()
        check("@" not in re.sub(r"SystemCallFilter=.*", "", text), f"{unit} has a place that was not filled in")
        for program in re.findall(r"^Exec\w+=-?(\S+)", text, re.M):
            check(program in ("/bin/true", "/bin/sh") or (dest / program.lstrip("/")).is_file(), f"{unit} starts {program}")
    return libexec


def hear(stdout, word, seconds):
    end, seen = time.monotonic() + seconds, ""
    while word not in seen and time.monotonic() < end:
        if select.select([stdout], [], [], 1)[0]:
            piece = os.read(stdout.fileno(), 4096).decode()
            if not piece:
                break
            seen += piece
    check(word in seen, f"the supervisor says {seen!r}")
    return seen


def check_start(libexec, folder):
    """The installed supervisor, with a configuration of its own."""
    (folder / "passwd").write_text("root:*\n")
    (folder / "runnymede.conf").write_text(f"""
state_dir = {folder}/state
run_dir = {folder}/run
listen = 127.0.0.1
http_port = any
https_port = 0
hypervisor = sim
auth = file:{folder}/passwd
users = none
bin_dir = {libexec}
""")
    supervisor = subprocess.Popen([libexec / "runnymede-supervisor", "--config", folder / "runnymede.conf"],
                                  stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        said = hear(supervisor.stdout, "ready", 30)
        check(re.search(r"runnymede ready http=[1-9]\d* https=0\n", said), f"the ready line is {said!r}")
        guests = run(libexec / "runnymede-guests", "list", "--run", folder / "run")
        check(guests == "", f"guests of a new host: {guests}")
        run(libexec / "runnymede-guests", "stop", "--run", folder / "run", "--limit", "5")
        supervisor.send_signal(signal.SIGTERM)
        check(supervisor.wait(20) == 0, "the supervisor does not end well")
    finally:
        supervisor.kill()
        supervisor.wait()


def uninstall(build, dest):
    """As `ninja uninstall`, which takes no lock that the ninja running this test may hold."""
    log = build / "meson-logs/install-log.txt"
    check(log.exists(), "meson keeps no log of what it installed")
    r = subprocess.run(["meson", "--internal", "uninstall"], cwd=build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       env=os.environ | {"DESTDIR": str(dest)}, timeout=60)
    check(r.returncode == 0, r.stdout.decode())
    left = [str(p) for p in dest.rglob("*") if not p.is_dir()]
    check(not left, f"left behind: {left}")


def main():
    build = Path(sys.argv[2]).absolute()
    log = build / "meson-logs/install-log.txt"
    before = log.read_bytes() if log.exists() else None  # what a true `ninja uninstall` shall still find
    folder = Path(tempfile.mkdtemp(prefix="runnymede-install."))
    try:
        dest = folder / "dest"
        run("meson", "install", "-C", build, "--no-rebuild", "--destdir", dest, "--quiet")
        libexec = check_files(dest, options(build))
        check_start(libexec, folder)
        uninstall(build, dest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if before is not None:
            log.write_bytes(before)
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
