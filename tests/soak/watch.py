"""Memory and open files of every process of a Colony, sampled for the whole soak, and whether they stayed flat."""

import os
import re
import statistics
import threading
import time

SETTLING_S = 20  # at the beginning: pools fill, replicas load
MEMORY_GROWTH, MEMORY_SLACK_KIB = 1.15, 8 << 10  # second half against the first: an allocator's breathing, not a leak
FD_SLACK = 30  # connections of clients that came and went at the moment of the sample


def sample(pid):
    """(KiB of proportional memory, open files) of a process; None when it is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            memory = int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M)[1])
        return memory, len(os.listdir(f"/proc/{pid}/fd"))
    except (OSError, TypeError):
        return None


class Watch(threading.Thread):
    """Samples every two seconds until stop(). roles() -> {role: [pid, ...]}; it may fail while something restarts."""

    def __init__(self, roles):
        super().__init__(daemon=True)
        self.roles, self.samples, self.stopping = roles, [], threading.Event()
        self.began = time.monotonic()

    def run(self):
        while not self.stopping.wait(2):
            try:
                roles = self.roles()
            except Exception:  # noqa: BLE001 - a role that is being restarted: the next sample has it
                continue
            now = {}
            for role, pids in roles.items():
                seen = [s for s in map(sample, pids) if s]
                if seen:  # per process, so that a replica that is away for a moment changes nothing
                    now[role] = (statistics.mean(m for m, _ in seen), max(f for _, f in seen))
            self.samples.append((time.monotonic() - self.began, now))

    def stop(self):
        self.stopping.set()
        self.join(10)

    def halves(self):
        """{role: ((KiB, open files) of the first half, the same of the second)}, medians."""
        settled = [s for s in self.samples if s[0] > SETTLING_S]
        middle = len(settled) // 2
        out = {}
        for role in sorted({r for _, now in settled for r in now}):
            parts = []
            for part in (settled[:middle], settled[middle:]):
                seen = [now[role] for _, now in part if role in now]
                parts.append((round(statistics.median(m for m, _ in seen)), round(statistics.median(f for _, f in seen))) if seen else (0, 0))
            out[role] = tuple(parts)
        return out

    def problems(self):
        found = []
        for role, ((memory, files), (memory_after, files_after)) in self.halves().items():
            if memory_after > memory * MEMORY_GROWTH + MEMORY_SLACK_KIB:
                found.append(f"{role}: memory grew from {memory} to {memory_after} KiB")
            if files_after > files + FD_SLACK:
                found.append(f"{role}: open files grew from {files} to {files_after}")
        return found
