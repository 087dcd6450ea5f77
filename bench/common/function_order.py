"""The order in which the functions that a request runs through should lie in the binary: as they are called. A process that wakes
for one request finds cold caches; functions that follow one another take fewer pages, and the processor fetches ahead."""

from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / "cmake/request_path.order"


def in_order_of_calls(dumps):
    """Symbols of all dumps, each function before what it calls, the first dump's first."""
    order = {}

    def visit(dump, function):
        waiting = [function]
        while waiting:
            function = waiting.pop()
            if function in order:
                continue
            order[function] = True
            callees = sorted(dump.calls.get(function, {}).items(), key=lambda call: -call[1])
            waiting += [callee for callee, _ in callees]

    for dump in dumps:
        for root in sorted(dump.own, key=lambda f: ("EpollLoopOnThread3run" not in f, -dump.own[f])):
            visit(dump, root)
    return [symbol for symbol in order if symbol.startswith("_Z")]


def write(dumps):
    FILE.write_text("\n".join(in_order_of_calls(dumps)) + "\n")
