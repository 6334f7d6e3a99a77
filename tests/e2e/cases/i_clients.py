"""Clients that others wrote, doing the whole tour."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench import ROOT, CheckFailed, Skip, case

NODE = Path(__file__).resolve().parent.parent / "node"


@case
def npm_xen_api_does_the_tour(t):
    if not shutil.which("node") or not (NODE / "node_modules/xen-api").exists():
        raise Skip("no npm xen-api here: run tools/setup --node")
    for transport in ("auto", "json-rpc", "xml-rpc"):
        r = subprocess.run(["node", NODE / "tour.js"], capture_output=True, text=True, timeout=180, env={
            **os.environ, "NODE_TLS_REJECT_UNAUTHORIZED": "0", "TOUR_URL": t.host.tls_url, "TOUR_USER": "root",
            "TOUR_PASSWORD": t.host.password, "TOUR_TRANSPORT": transport, "TOUR_KERNEL": str(t.host.state / "boot/guest.elf"),
            "TOUR_PATIENCE": "2500" if t.qemu else "0"})
        t.check(r.returncode == 0 and r.stdout.strip().endswith("tour done"), f"{transport}:\n{r.stdout[-1500:]}{r.stderr[-1500:]}")


@case
def pythons_xmlrpc_client_does_the_tour(t):
    r = subprocess.run([sys.executable, ROOT / "tests/e2e/tour.py", t.host.url, str(t.host.state / "boot/guest.elf")],
                       input=t.host.password, capture_output=True, text=True, timeout=180)
    t.check(r.returncode == 0 and r.stdout.strip().endswith("tour done"), f"{r.stdout[-1500:]}{r.stderr[-1500:]}")
