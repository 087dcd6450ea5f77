"""What a test run leaves behind when it should leave nothing: processes, sockets, mounts, namespaces, cgroups, memory.

Everything that a run starts inherits COLONY_TEST_RUN=<id> and a TMPDIR below the run's own folder, so what is left can be
told from what other runs on the same machine are doing.
"""
import os
import signal
import stat
import time

MARK = "COLONY_TEST_RUN="


def processes(run_id):
    """(pid, command line) of every live process whose environment carries the run's mark."""
    found = []
    wanted = (MARK + run_id).encode()
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if wanted not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                    continue
            with open(f"/proc/{name}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        found.append((int(name), command))
    return found


def end_processes(found):
    for pid, _ in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def sockets(folder):
    found = []
    for parent, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(parent, name)
            try:
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    found.append(path)
            except FileNotFoundError:
                pass
    return found


def mounts(folder):
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [line.split()[4] for line in file]
    return [point for point in points if point == folder or point.startswith(folder + "/")]


def _names(folder):
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def _cgroups():
    found = set()
    for parent, folders, _ in os.walk("/sys/fs/cgroup"):
        found.update(os.path.join(parent, name) for name in folders if "colony" in name)
    return found


class Watch:
    """Taken when a run begins; left() says what the run added and did not take away."""

    def __init__(self, run_id, folder):
        self.run_id = run_id
        self.folder = folder
        self.before = self._shared()

    def _shared(self):
        return {
            "network namespace": {"/run/netns/" + name for name in _names("/run/netns")},
            "shared memory": {"/dev/shm/" + name for name in _names("/dev/shm")},
            "cgroup": _cgroups(),
        }

    def left(self, alone):
        """Lines that name each thing left. alone: nobody else tests on this machine, so all that is new is ours."""
        time.sleep(0.1)  # a process in the middle of exec shows no environment for a moment
        deadline = time.monotonic() + 3  # what is already ending gets a moment to end
        while (found := processes(self.run_id)) and time.monotonic() < deadline:
            time.sleep(0.1)
        lines = [f"process {pid}: {command[:160]}" for pid, command in found]
        end_processes(found)
        lines += [f"socket {path}" for path in sockets(self.folder)]
        lines += [f"mount {point}" for point in mounts(self.folder)]
        for kind, now in self._shared().items():
            for name in sorted(now - self.before[kind]):
                if alone or self.run_id in name:
                    lines.append(f"{kind} {name}")
        return lines
