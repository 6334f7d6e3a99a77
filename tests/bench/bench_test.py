#!/usr/bin/env python3
"""What the benchmarks measure with, measured: runs in a second, needs nothing."""
import argparse
import contextlib
import io
import os
import socket
import sqlite3
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "tools/lib")]
import probe  # noqa: E402
import wire  # noqa: E402
from report import MissingPeer, Report, need  # noqa: E402


class Probe(unittest.TestCase):
    def test_commits_are_counted_also_after_the_log_starts_over(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/x.db"
            db = sqlite3.connect(path, isolation_level=None)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE t (i)")
            commits = probe.Commits(path)
            for n in (1, 5):
                for i in range(n):
                    db.execute("INSERT INTO t VALUES (?)", (i,))
                self.assertEqual(commits.new(), n)
            self.assertEqual(commits.new(), 0)
            db.execute("BEGIN")
            db.execute("INSERT INTO t VALUES (6)")
            db.execute("INSERT INTO t VALUES (7)")
            db.execute("COMMIT")
            self.assertEqual(commits.new(), 1)
            db.execute("PRAGMA wal_checkpoint(RESTART)")
            db.execute("INSERT INTO t VALUES (8)")
            self.assertEqual(commits.new(), 1)
            db.close()

    def test_work_is_seen_and_sleep_is_not(self):
        before = probe.cpu_ns(os.getpid())
        sum(range(1_000_000))
        self.assertGreater(probe.cpu_ns(os.getpid()), before)
        self.assertGreater(probe.private_kib(os.getpid()), 100)


class Wire(unittest.TestCase):
    def answer(self, *pieces):
        a, b = socket.socketpair()
        with a, b:
            a.sendall(b"".join(pieces))
            return wire.result(b)

    def test_answers_of_known_length_and_in_chunks_are_read(self):
        self.assertEqual(self.answer(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"result": 7}'), 7)
        self.assertEqual(self.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b'5\r\n{"res\r\n8\r\nult": 7}\r\n0\r\n\r\n'), 7)

    def test_an_answer_that_breaks_off_is_an_error(self):
        a, b = socket.socketpair()
        with b:
            a.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{")
            a.close()
            self.assertRaises(ConnectionError, wire.discard, b, bytearray(100))


class Goals(unittest.TestCase):
    def outcome(self, **goal):
        r = Report(argparse.Namespace(json=True, quick=True))
        with contextlib.redirect_stdout(io.StringIO()):
            r.begin("test")
            r.figure("x", 5, "ms", **goal)
            return r.end()

    def test_exit_code_says_whether_the_goal_was_met(self):
        self.assertEqual([self.outcome(at_most=5), self.outcome(at_most=4), self.outcome(at_least=5), self.outcome(at_least=6), self.outcome()],
                         [0, 1, 0, 1, 0])

    def test_a_missing_peer_is_an_error(self):
        self.assertRaises(MissingPeer, need, "runnymede-no-such-program", "nothing")


if __name__ == "__main__":
    unittest.main()
