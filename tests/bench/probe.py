"""Looking at processes and files from outside: CPU, memory, wake-ups, commits."""
import os
import re
import struct
from pathlib import Path


def cpu_ns(*pids):
    """CPU time that the processes' threads have used so far, in nanoseconds (/proc/PID/task/TID/schedstat)."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            try:
                total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
            except (OSError, IndexError):
                pass
    return total


def private_kib(pid):
    """Memory that only this process has written (Pss_Anon), in KiB."""
    return int(re.search(r"Pss_Anon:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text())[1])


def wakeups(pid):
    """How often the process's threads went to sleep by themselves so far, so how often something woke them."""
    n = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            n += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", Path(f"/proc/{pid}/task/{task}/status").read_text(), re.M)[1])
        except OSError:
            pass
    return n


class Commits:
    """Counts commits in an SQLite database in WAL mode by reading its write-ahead log (sqlite.org/fileformat.html, section 4)."""
    HEADER, FRAME = 32, 24

    def __init__(self, database):
        self.path = Path(f"{database}-wal")
        self.salt, self.at = None, 0
        self.new()

    def new(self):
        """Commits since the last look. A log that was started over meanwhile counts from its begin."""
        n = 0
        try:
            with open(self.path, "rb") as f:
                head = f.read(self.HEADER)
                if len(head) < self.HEADER:
                    return 0
                page, salt = struct.unpack(">I", head[8:12])[0], head[16:24]
                if salt != self.salt:
                    self.salt, self.at = salt, self.HEADER
                while True:
                    f.seek(self.at)
                    frame = f.read(self.FRAME)
                    if len(frame) < self.FRAME or frame[8:16] != salt:
                        return n
                    n += struct.unpack(">I", frame[4:8])[0] != 0
                    self.at += self.FRAME + page
        except FileNotFoundError:
            return 0
