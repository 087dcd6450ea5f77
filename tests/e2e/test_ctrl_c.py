"""The end of `colony up`: the first Ctrl-C drains, the second ends at once; nothing is left either way."""
import signal
import socket

import pytest
from running import PATIENCE, alive, colony, echo_app, wait_until

BOTH = pytest.mark.parametrize("processes", [False, True], ids=["one-process", "processes"])


def half_a_request(c):
    """A request whose body is not whole yet: it runs in the replica until the rest is sent. (Chunked: a short body of known
    length is waited for in the proxy, so that a slow client holds no slot.)"""
    host, port = c.http.rsplit(":", 1)
    s = socket.create_connection((host, int(port)), timeout=PATIENCE)
    s.sendall(b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
    reply = b""
    while b"hello" not in reply:  # the echo streams: the first half is back, so the replica has it
        chunk = s.recv(4096)
        assert chunk, reply
        reply += chunk
    return s


def rest_of_the_reply(s):
    reply = b""
    while b"world" not in reply:
        chunk = s.recv(4096)
        if not chunk:
            break
        reply += chunk
    return reply


@BOTH
def test_the_first_ctrl_c_lets_a_running_request_end(processes):
    with colony(processes) as c:
        c.apply(echo_app(replicas=2))
        s = half_a_request(c)
        pids = c.all_pids()
        c.process.send_signal(signal.SIGINT)

        def refused():
            try:
                socket.create_connection(tuple(c.http.rsplit(":", 1)), timeout=5).close()
                return False
            except OSError:
                return True

        wait_until(refused, "no new connection is taken")
        assert c.process.poll() is None, "it waits for the request"
        s.sendall(b"5\r\nworld\r\n0\r\n\r\n")
        assert b"world" in rest_of_the_reply(s)
        s.close()
        assert c.process.wait(PATIENCE) == 0
        wait_until(lambda: not any(alive(p) for p in pids), "every process ends", 10)


@BOTH
def test_the_second_ctrl_c_ends_at_once(processes):
    with colony(processes, ["--drain-timeout-s", "600"]) as c:
        c.apply(echo_app(replicas=2))
        s = half_a_request(c)
        pids = c.all_pids()
        c.process.send_signal(signal.SIGINT)
        wait_until(lambda: "stops: running requests" in c.errors(), "the drain has begun")
        assert c.process.poll() is None
        c.process.send_signal(signal.SIGINT)
        assert c.process.wait(30) == 130
        wait_until(lambda: not any(alive(p) for p in pids), "every process ends", 10)
        s.close()


@BOTH
def test_a_request_that_never_ends_is_cut_off_at_the_drain_timeout(processes):
    with colony(processes, ["--drain-timeout-s", "1"]) as c:
        c.apply(echo_app(replicas=1))
        s = half_a_request(c)
        c.process.send_signal(signal.SIGINT)
        assert c.process.wait(PATIENCE) == 0
        s.close()
