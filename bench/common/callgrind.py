"""Instructions and calls of allocators of one process, between two moments, by callgrind."""

import subprocess
import tempfile
from pathlib import Path

ALLOCATORS = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"}
# WHY: callgrind counts every byte of a `rep movsb` as an instruction, and glibc copies with it from 2 KiB on.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.cpu.x86_rep_movsb_threshold=0x40000000"}
PATIENCE = 30  # seconds for one answer of callgrind_control


def read(path):
    """(instructions, calls of allocators) of one dump."""
    names, instructions, allocations, callee = {}, 0, 0, ""
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("cfn="):
            number, _, name = line[4:].partition(" ")
            callee = names.setdefault(number, name)
        elif line.startswith("fn="):
            number, _, name = line[3:].partition(" ")
            names.setdefault(number, name)
        elif line.startswith("calls=") and callee.split("'")[0] in ALLOCATORS:
            allocations += int(line[6:].split()[0])
        elif line.startswith(("summary:", "totals:")):
            instructions = int(line.split()[1])
    return instructions, allocations


class Callgrind:
    """`prefix` goes before the command of the process; `pid` is set once it runs. The thread that did most is counted."""

    def __init__(self, folder):
        self.out, self.pid = Path(tempfile.mkdtemp(prefix="callgrind-", dir=folder)) / "out", None
        self.prefix = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes",
                       f"--callgrind-out-file={self.out}"]

    def control(self, *arguments):
        # Saying the same thing twice does no harm, and callgrind_control may miss a process that is busy.
        for left in reversed(range(4)):
            try:
                command = ["callgrind_control", *arguments, str(self.pid)]
                done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                if left == 0:
                    raise
            else:
                if done.returncode == 0 and "Error" not in done.stdout:
                    return
                if left == 0:
                    raise SystemExit(f"callgrind_control {arguments}: {done.stdout} {done.stderr}")

    def begin(self):
        self.control("-i", "on")
        self.control("-z")

    def end(self, requests):
        """What each of the requests since begin() has cost."""
        self.control("-d")
        self.control("-i", "off")
        dumps = sorted(self.out.parent.glob(f"{self.out.name}.*"))
        instructions, allocations = max(read(d) for d in dumps)
        for d in dumps:
            d.unlink()
        return {"instructions": instructions / requests, "allocations": allocations / requests}
