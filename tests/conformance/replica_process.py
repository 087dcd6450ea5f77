"""Starts tests/processes/replica_server for a test: one replica, no agent, no proxy."""

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(os.environ["COLONY_SOURCE_DIR"])
SERVER = Path(os.environ["COLONY_BUILD_BINARY"]).parent / "replica_server"


class Replica:
    def __init__(self, spec, *names, environment=None):
        self.folder = tempfile.TemporaryDirectory(prefix="colony-replica-")
        self.socket = os.path.join(self.folder.name, "r.sock")
        path = os.path.join(self.folder.name, "spec.json")
        Path(path).write_text(json.dumps(spec), encoding="utf-8")
        self.log = open(os.path.join(self.folder.name, "log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen([SERVER, path, self.socket, *names], stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env={**os.environ, **(environment or {})})
        line = self.process.stdout.readline()
        assert line.startswith("listening "), line + self.said()
        self.address = line.split()[1]
        self.state = self.process.stdout.readline().strip()

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def curl(self, path, *arguments):
        """(status, body) over the unix socket."""
        run = subprocess.run(["curl", "-s", "--unix-socket", self.socket, "-w", "\n%{http_code}", *arguments, "localhost" + path],
                             capture_output=True, check=True)
        body, _, status = run.stdout.rpartition(b"\n")
        return int(status), body

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            said = self.said()
            self.log.close()
            self.folder.cleanup()
        assert code == 0 and "Sanitizer" not in said, said
        return said
