"""Sends the cases of http_cases.py to a server and says what came of each, in the words of that file."""

import contextlib
import socket
import time

PROBE = b"is it open?"
PROBE_REQUEST = b"POST /probe HTTP/1.1\r\nHost: probe\r\nContent-Length: %d\r\n\r\n%s" % (len(PROBE), PROBE)


class Connection:
    def __init__(self, address, patience):
        host, port = address.rsplit(":", 1)
        self.patience = patience
        self.socket = socket.create_connection((host, int(port)), timeout=patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.got, self.ended = b"", False

    def send(self, data):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
            self.socket.sendall(data)

    def more(self, patience):
        """False: nothing came in that time, or nothing will come any more."""
        if self.ended:
            return False
        self.socket.settimeout(patience)
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            return False
        except (ConnectionResetError, OSError):
            data = b""
        self.ended = not data
        self.got += data
        return bool(data)

    def until(self, found, patience):
        while found() is None:
            if not self.more(patience):
                return None
        return found()

    def reply(self, patience, bodiless=False):
        """(status, body) of the next reply; None when none comes whole."""
        end = self.until(lambda: self.got.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in self.got else None, patience)
        if end is None:
            return None
        head = self.got[:end]
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        fields = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
        self.got = self.got[end:]
        if status < 200 or status in (204, 304) or bodiless:
            return status, b""
        if "chunked" in fields.get("transfer-encoding", ""):
            body = b""
            while True:
                at = self.until(lambda: self.got.find(b"\r\n") if b"\r\n" in self.got else None, patience)
                if at is None:
                    return None
                size = int(self.got[:at].split(b";")[0], 16)
                if size == 0:  # trailers, if any, and the empty line
                    end = self.until(lambda: self.got.find(b"\r\n\r\n", at) + 4 if b"\r\n\r\n" in self.got[at:] else None, patience)
                    if end is None:
                        return None
                    self.got = self.got[end:]
                    return status, body
                if self.until(lambda: True if len(self.got) >= at + 2 + size + 2 else None, patience) is None:
                    return None
                body, self.got = body + self.got[at + 2:at + 2 + size], self.got[at + 2 + size + 2:]
        if "content-length" in fields:
            size = int(fields["content-length"])
            if self.until(lambda: True if len(self.got) >= size else None, patience) is None:
                return None
            body, self.got = self.got[:size], self.got[size:]
            return status, body
        while self.more(patience):
            pass
        body, self.got = self.got, b""
        return status, body


def run(address, raw, expected, patience, quiet):
    """(outcome, body of the last reply). As many replies as `expected` names are awaited for `patience` seconds, one more for
    `quiet` seconds: a server that says more than it should is found out, and one that waits costs no more than that."""
    statuses, body = [], b""
    words = expected.split()
    wanted = sum(w.isdigit() for w in words)
    connection = Connection(address, patience)
    with connection.socket:
        connection.send(raw)
        bodiless = raw.lstrip().startswith(b"HEAD ")
        deadline = time.monotonic() + patience
        while True:
            enough = len(statuses) >= wanted and words[-1] != "closed"
            reply = connection.reply(quiet if enough else max(quiet, deadline - time.monotonic()), bodiless and not statuses)
            if reply is None:
                break
            statuses.append(str(reply[0]))
            body = reply[1]
            if len(statuses) >= wanted and words[-1] == "open" and not connection.got:
                break
        if not connection.ended and "waits" not in words and statuses:
            # Usable is what answers the next request with its own echo; what comes before that was one reply too many.
            connection.send(PROBE_REQUEST)
            while (reply := connection.reply(patience)) is not None:
                if reply == (200, PROBE):
                    return " ".join([*statuses, "open"]), body
                statuses.append(str(reply[0]))
                body = reply[1]
        fate = "closed" if connection.ended else "waits"
        return " ".join([*statuses, fate]), body
