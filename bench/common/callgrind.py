"""What one process executes between two moments, by callgrind: instructions, calls of allocators, lines of code, who calls whom."""

import collections
import subprocess
import tempfile
from pathlib import Path

ALLOCATORS = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"}
# WHY: callgrind counts every byte of a `rep movsb` as an instruction, and glibc copies with it from 2 KiB on.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.cpu.x86_rep_movsb_threshold=0x40000000"}
PATIENCE = 30  # seconds for one answer of callgrind_control
LINE_BYTES = 64  # of the processor's caches


class Dump:
    """One dump of one thread. `calls`: {symbol: {callee: address of the call}}."""

    def __init__(self, path):
        self.instructions, self.allocations, self.own = 0, 0, collections.Counter()
        self.calls = collections.defaultdict(dict)
        self.executed = collections.Counter()  # of each cache line of code, how often its busiest instruction
        names, function, callee, address, call = {}, "", "", 0, False

        def name_of(text):
            number, _, name = text.partition(" ")
            return names.setdefault(number, name.split("'")[0])

        for text in path.read_text(errors="replace").splitlines():
            if text.startswith("cfn="):
                callee = name_of(text[4:])
            elif text.startswith("fn="):
                function = name_of(text[3:])
            elif text.startswith("calls="):
                call = True
                if callee in ALLOCATORS:
                    self.allocations += int(text[6:].split()[0])
            elif text[:1] in "0123456789+-*" and len(fields := text.split()) == 3:
                address = self.position(fields[0], address)
                if call:  # what the callee cost, counted where it stands
                    self.calls[function].setdefault(callee, address)
                    call = False
                else:
                    self.own[function] += int(fields[2])
                    self.instructions += int(fields[2])
                    line = address // LINE_BYTES
                    self.executed[line] = max(self.executed[line], int(fields[2]))

    def lines(self, requests):
        """Cache lines of code that at least every second request touches: what it costs one that finds the caches cold."""
        return sum(2 * times >= requests for times in self.executed.values())

    @staticmethod
    def position(text, last):
        if text == "*":
            return last
        return last + int(text, 0) if text[0] in "+-" else int(text, 0)


class Callgrind:
    """`prefix` goes before the command of the process; `pid` is set once it runs. The thread that did most is counted."""

    def __init__(self, folder):
        self.out, self.pid = Path(tempfile.mkdtemp(prefix="callgrind-", dir=folder)) / "out", None
        self.prefix = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes",
                       "--dump-instr=yes", "--demangle=no", f"--callgrind-out-file={self.out}"]

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

    def end(self):
        """The dump since begin()."""
        self.control("-d")
        self.control("-i", "off")
        paths = sorted(self.out.parent.glob(f"{self.out.name}.*"))
        dump = max((Dump(p) for p in paths), key=lambda d: d.instructions)
        for p in paths:
            p.unlink()
        return dump
