"""Servers of the user's own behind Colony (runtime: external): an HTTP/1.1 server that does its worst, and gRPC servers by
grpcio in all kinds of calls."""
import concurrent.futures
import contextlib
import http.client
import json
import os
import socket
import socketserver
import threading
import time

import grpc
import pytest
from running import PATIENCE, colony, free_port, wait_until


class Server:
    """An HTTP/1.1 server on a TCP port or a unix socket, one thread per connection. Answers by path:
    /echo, /chunked/N, /until-close, /slow (a piece every 0.1 s), /trailers, /head-only, /die (no answer), /cut and
    /cut-chunks (half an answer), /goodbye (answers and ends the connection without a word), /hold (until release)."""

    def __init__(self, address):
        self.address = address
        self.release = threading.Event()
        self.seen, self.gone = [], []
        self.keep_alive = True
        self.healthy = True

    def start(self):
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError, ValueError):
                    while outer.one(self.rfile, self.wfile, self.connection) and outer.keep_alive:
                        pass

        class TCP(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True
            request_queue_size = 128

        class Unix(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            request_queue_size = 128

        if self.address.startswith("unix:"):
            path = self.address[5:]
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            self.server = Unix(path, Handler)
        else:
            host, port = self.address.rsplit(":", 1)
            self.server = TCP((host, int(port)), Handler)
        self.sockets = []
        get = self.server.get_request

        def get_request():
            made = get()
            self.sockets.append(made[0])
            return made

        self.server.get_request = get_request
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        return self

    def stop(self):
        """As a kill: the port is closed, every connection breaks."""
        self.server.shutdown()
        self.server.server_close()
        for s in self.sockets:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE)

    def one(self, read, write, connection):
        line = read.readline()
        if not line:
            return False
        method, path, version = line.decode().split()
        fields = {}
        while (line := read.readline()) not in (b"\r\n", b""):
            name, value = line.decode().split(":", 1)
            fields[name.lower()] = value.strip()
        body = b""
        if path == "/early":
            write.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
            write.flush()
            return False
        if fields.get("transfer-encoding") == "chunked":
            while size := int(read.readline().split(b";")[0], 16):
                body += read.read(size)
                read.readline()
            while read.readline() not in (b"\r\n", b""):
                pass
        elif "content-length" in fields:
            body = read.read(int(fields["content-length"]))
        self.seen.append((method, path, fields, body))
        kind, _, rest = path.lstrip("/").partition("/")
        say = lambda data: (write.write(data), write.flush())
        length = lambda data: say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(data), b"" if method == "HEAD" else data))
        if kind == "healthz":
            say(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % (200 if self.healthy else 500))
        elif kind == "chunked":
            say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            left = int(rest)
            while left:
                piece = min(left, 10000)
                left -= piece
                write.write(b"%x\r\n%s\r\n" % (piece, b"c" * piece))
            say(b"0\r\n\r\n")
        elif kind == "until-close":
            say(b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n" + b"u" * 100000)
            return False
        elif kind == "slow":
            say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for i in range(5):
                say(b"1\r\n%d\r\n" % i)
                time.sleep(0.1)
            say(b"0\r\n\r\n")
        elif kind == "trailers":
            say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n")
        elif kind == "die":
            connection.close()
            return False
        elif kind == "cut":
            say(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            return False
        elif kind == "cut-chunks":
            say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            return False
        elif kind == "goodbye":
            length(b"bye")
            return False
        elif kind == "hold":
            while not self.release.wait(0.02):
                connection.settimeout(0.001)
                with contextlib.suppress(TimeoutError):
                    if not connection.recv(1, socket.MSG_PEEK):
                        self.gone.append(path)
                        return False
                connection.settimeout(None)
            length(b"released")
        else:
            length(body or b"hello")
        return True


def app(addresses, name="web", protocol="http1", **more):
    deployment = {"name": "main", "runtime": "external", "backend": {"addresses": addresses, "protocol": protocol},
                  "max_ongoing_requests": 100}
    deployment["backend"].update(more.pop("backend", {}))
    spec = {"name": name, "route_prefix": "/"}
    for key in ("hosts", "route_prefix"):
        if key in more:
            spec[key] = more.pop(key)
    return {**spec, "deployments": [{**deployment, **more}]}


@pytest.fixture(scope="module")
def server():
    with colony() as c:
        yield c


@pytest.fixture(params=["tcp", "unix"])
def web(request, server, tmp_path):
    address = f"127.0.0.1:{free_port()}" if request.param == "tcp" else f"unix:{tmp_path}/s"
    backend = Server(address).start()
    server.apply(app([address]))
    yield backend
    server.cli("delete", "web")
    with contextlib.suppress(OSError):
        backend.stop()


# ---- HTTP/1.1 ----
def test_replies_of_every_framing_pass(server, web):
    assert server.request("GET", "/")[2] == b"hello"
    assert server.request("POST", "/echo", b"x" * 300000)[2] == b"x" * 300000
    assert server.request("GET", "/chunked/1000000")[2] == b"c" * 1000000
    assert server.request("GET", "/until-close")[2] == b"u" * 100000
    assert server.request("GET", "/slow")[2] == b"01234"
    status, fields, body = server.request("HEAD", "/big")
    assert (status, fields["content-length"], body) == (200, "5", b"")
    assert server.request("POST", "/early", b"x")[0] == 413
    with socket.create_connection(server.http.rsplit(":", 1)) as s:
        s.sendall(b"GET /trailers HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        text = b"".join(iter(lambda: s.recv(65536), b""))
    assert text.endswith(b"0\r\nx-sum: 7\r\n\r\n"), text
    fields = web.seen[0][2]
    assert "x-request-id" in fields and fields["x-forwarded-proto"] == "http", fields


def test_a_slow_reply_arrives_piece_by_piece(server, web):
    with socket.create_connection(server.http.rsplit(":", 1)) as s:
        s.sendall(b"GET /slow HTTP/1.1\r\nhost: h\r\n\r\n")
        text = b""
        while b"0" not in text.partition(b"\r\n\r\n")[2]:
            text += s.recv(65536)
        assert b"\r\n4\r\n" not in text, "the whole reply was waited for"


def test_a_request_body_streams_while_it_is_made(server, web):
    connection = http.client.HTTPConnection(server.http, timeout=PATIENCE)
    connection.request("POST", "/echo", (b"%d" % i * 1000 for i in range(10)), encode_chunked=True)
    assert connection.getresponse().read() == b"".join(b"%d" % i * 1000 for i in range(10))
    connection.close()


def test_a_server_that_ends_connections_after_every_reply_loses_nothing_that_may_run_twice(server, web):
    for _ in range(30):
        assert server.request("GET", "/goodbye")[0] == 200
        assert server.request("PUT", "/echo", b"data")[2] == b"data"


def test_what_is_cut_or_not_answered_is_told(server, web):
    connection = http.client.HTTPConnection(server.http, timeout=PATIENCE)
    connection.request("GET", "/cut")
    with pytest.raises(http.client.IncompleteRead):
        connection.getresponse().read()
    connection.close()
    with socket.create_connection(server.http.rsplit(":", 1), timeout=PATIENCE) as old, pytest.raises(ConnectionResetError):
        old.sendall(b"GET /cut-chunks HTTP/1.0\r\nhost: h\r\n\r\n")  # only the end of the connection would end its body
        while old.recv(65536):
            pass
    status, fields, body = server.request("POST", "/die", b"x")
    assert status == 503 and fields["x-colony-reason"] == "replica_lost", (status, body)


@pytest.mark.parametrize("behind", [b"", b"\n", b"GET /echo HTTP/1.1\r\nhost: h\r\n\r\n"], ids=["nothing", "a byte", "a request"])
def test_a_client_that_leaves_ends_the_connection_to_the_server(server, web, behind):
    with socket.create_connection(server.http.rsplit(":", 1)) as s:
        s.sendall(b"GET /hold HTTP/1.1\r\nhost: h\r\n\r\n" + behind)
        wait_until(lambda: any(path == "/hold" for _, path, _, _ in web.seen), "the request arrives")
    wait_until(lambda: web.gone, "its connection ends")


def test_restarts_under_load_lose_no_idempotent_request(server):
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    backends = [Server(a).start() for a in addresses]
    server.apply(app(addresses))
    failures, count, stop = [], [0], threading.Event()

    def load():
        connection = http.client.HTTPConnection(server.http, timeout=PATIENCE)
        while not stop.is_set():
            connection.request("GET", "/echo")
            reply = connection.getresponse()
            body = reply.read()
            if (reply.status, body) != (200, b"hello"):
                failures.append((reply.status, body[:300]))
            count[0] += 1

    threads = [threading.Thread(target=load, daemon=True) for _ in range(4)]
    for t in threads:
        t.start()
    for i in range(6):
        goal = count[0] + 30
        wait_until(lambda: count[0] > goal, f"requests flow; {failures[:3]}")
        backends[i % 2].stop()
        backends[i % 2].start()
    stop.set()
    for t in threads:
        t.join(PATIENCE)
    assert not failures, failures[:5]
    server.cli("delete", "web")
    for b in backends:
        b.stop()


def test_status_shows_health_and_the_path_that_is_asked(server):
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    one = Server(addresses[0]).start()
    spec = app(addresses, backend={"health_path": "/healthz"}, health_check_period_s=0.2)
    server.call("PUT", "/api/v1/applications/web", spec)
    states = lambda: {r["address"]: r["state"] for r in server.replicas("web")}
    wait_until(lambda: states() == {addresses[0]: "READY", addresses[1]: "FAILED"}, f"one is there: {states()}")
    assert server.request("GET", "/")[0] == 200
    _, out, _ = server.cli("status", "web")
    assert "1/2 ready" in out and f"the backend at {addresses[1]} takes no connection" in out, out
    two = Server(addresses[1]).start()
    wait_until(lambda: server.status("web")["status"] == "RUNNING", "both are there")
    one.healthy = False
    wait_until(lambda: states() == {addresses[0]: "FAILED", addresses[1]: "READY"}, "the path says no")
    assert "answers GET /healthz with 500" in server.status("web")["message"]
    assert server.call("POST", "/api/v1/applications/web/deployments/main/scale", {"target_num_replicas": 5})[1]["reason"] == "external_deployment"
    server.cli("delete", "web")
    one.stop()
    two.stop()


def test_hosts_reach_their_application(server, tmp_path):
    backend = Server(f"unix:{tmp_path}/s").start()
    server.apply(app([backend.address], hosts=["shop.example"], route_prefix=None))
    assert server.request("GET", "/v2/models/x", headers={"Host": "Shop.Example:80"})[0] == 200
    assert server.request("GET", "/any", headers={"Host": "other.example"})[0] == 404
    status, change = server.call("PUT", "/api/v1/applications/thief", app(["127.0.0.1:1"], "thief", hosts=["shop.example"]))
    assert (status, change["reason"]) == (409, "host_taken") and "belongs to application web" in change["error"]
    server.cli("delete", "web")
    backend.stop()


# ---- gRPC ----
class Echo(grpc.GenericRpcHandler):
    """shop.v1.Shop by hand, messages are bytes."""

    def __init__(self):
        self.ended = threading.Event()
        self.metadata = {}

    def service(self, details):
        kinds = {"Unary": (grpc.unary_unary_rpc_method_handler, self.unary), "Up": (grpc.stream_unary_rpc_method_handler, self.up),
                 "Down": (grpc.unary_stream_rpc_method_handler, self.down), "Both": (grpc.stream_stream_rpc_method_handler, self.both),
                 "Fail": (grpc.unary_unary_rpc_method_handler, self.fail), "Hang": (grpc.unary_stream_rpc_method_handler, self.hang)}
        service, _, method = details.method[1:].partition("/")
        self.metadata = dict(details.invocation_metadata)
        if service != "shop.v1.Shop" or method not in kinds:
            return None
        make, call = kinds[method]
        return make(call)

    def unary(self, request, context):
        context.send_initial_metadata((("x-first", "1"), ("x-bin", b"\0\1\2")))
        context.set_trailing_metadata((("x-last", "2"), ("x-last-bin", b"\3")))
        return request

    def up(self, requests, context):
        return b"%d" % sum(len(r) for r in requests)

    def down(self, request, context):
        for i in range(int(request)):
            yield b"%d" % i

    def both(self, requests, context):
        for r in requests:
            yield r

    def fail(self, request, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: ü%")

    def hang(self, request, context):
        context.add_callback(self.ended.set)
        yield b"begun"
        if not self.ended.wait(PATIENCE):
            raise AssertionError("nobody cancelled")


@pytest.fixture(scope="module")
def shop(server):
    handler = Echo()
    pool = concurrent.futures.ThreadPoolExecutor(130)
    back = grpc.server(pool, handlers=[handler], options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)])
    port = back.add_insecure_port("127.0.0.1:0")
    back.start()
    server.apply(app([f"127.0.0.1:{port}"], "shop", "h2c", grpc_services=["shop.v1.Shop"], max_ongoing_requests=1000,
                     route_prefix="/shop"))
    yield handler
    server.cli("delete", "shop")
    back.stop(0)


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.http, options=[("grpc.max_receive_message_length", -1)]) as made:
        yield made


def test_the_four_kinds_of_calls(shop, channel):
    assert channel.unary_unary("/shop.v1.Shop/Unary")(b"hello", timeout=PATIENCE) == b"hello"
    assert channel.stream_unary("/shop.v1.Shop/Up")(iter([b"ab"] * 1000), timeout=PATIENCE) == b"2000"
    assert list(channel.unary_stream("/shop.v1.Shop/Down")(b"1000", timeout=PATIENCE)) == [b"%d" % i for i in range(1000)]
    go = threading.Semaphore(0)

    def requests():
        for i in range(50):
            yield b"%d" % i
            assert go.acquire(timeout=PATIENCE), "the answer to one message does not wait for the next"

    for i, reply in enumerate(channel.stream_stream("/shop.v1.Shop/Both")(requests(), timeout=PATIENCE)):
        assert reply == b"%d" % i
        go.release()


def test_metadata_passes_both_ways(shop, channel):
    reply, call = channel.unary_unary("/shop.v1.Shop/Unary").with_call(
        b"", timeout=PATIENCE, metadata=(("x-mine", "a"), ("x-mine-bin", b"\0\xff")))
    assert (shop.metadata["x-mine"], shop.metadata["x-mine-bin"]) == ("a", b"\0\xff")
    first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert (first["x-first"], first["x-bin"]) == ("1", b"\0\1\2") and (last["x-last"], last["x-last-bin"]) == ("2", b"\3")


def test_errors_of_the_service_and_of_the_route(shop, channel):
    with pytest.raises(grpc.RpcError) as e:
        channel.unary_unary("/shop.v1.Shop/Fail")(b"", timeout=PATIENCE)
    assert (e.value.code(), e.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not today: ü%")
    with pytest.raises(grpc.RpcError) as e:
        channel.unary_unary("/shop.v1.Shop/Absent")(b"", timeout=PATIENCE)
    assert e.value.code() == grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.RpcError) as e:
        channel.unary_unary("/shop.v1.Other/Unary")(b"", timeout=PATIENCE)
    assert e.value.code() == grpc.StatusCode.UNIMPLEMENTED and "gRPC services: shop.v1.Shop" in e.value.details()


def test_messages_of_ten_mebibytes(shop, channel):
    data = os.urandom(10 << 20)
    assert channel.unary_unary("/shop.v1.Shop/Unary")(data, timeout=PATIENCE) == data


def test_a_hundred_streams_at_once(shop, channel):
    calls = [channel.stream_stream("/shop.v1.Shop/Both")(iter([b"%d" % i] * 20), timeout=PATIENCE) for i in range(100)]
    for i, call in enumerate(calls):
        assert list(call) == [b"%d" % i] * 20


@pytest.mark.parametrize("way", ["cancel", "deadline"])
def test_a_cancelled_call_and_one_past_its_deadline_end_in_the_service(shop, channel, way):
    shop.ended.clear()
    call = channel.unary_stream("/shop.v1.Shop/Hang")(b"", timeout=PATIENCE if way == "cancel" else 1)
    assert next(call) == b"begun"
    if way == "cancel":
        call.cancel()
    else:
        with pytest.raises(grpc.RpcError) as e:
            next(call)
        assert e.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert shop.ended.wait(PATIENCE)


def test_the_deadline_travels(shop, channel):
    channel.unary_unary("/shop.v1.Shop/Unary")(b"", timeout=50)
    # grpcio takes grpc-timeout out of the metadata: the handler's own clock shows it.
    seen = []
    shop.unary_before, shop.unary = shop.unary, lambda request, context: seen.append(context.time_remaining()) or request
    channel.unary_unary("/shop.v1.Shop/Unary")(b"", timeout=50)
    shop.unary = shop.unary_before
    assert 30 < seen[0] <= 50.5, seen


def test_a_service_that_another_application_has_is_refused(server, shop):
    status, change = server.call("PUT", "/api/v1/applications/thief",
                                 app(["127.0.0.1:1"], "thief", "h2c", grpc_services=["shop.v1.Shop"], route_prefix="/thief"))
    assert (status, change["reason"]) == (409, "grpc_service_taken") and "belongs to application shop" in change["error"]


def test_up_with_a_file_prints_how_to_ask_and_infer_says_that_there_is_no_model(tmp_path):
    address, spec = f"127.0.0.1:{free_port()}", tmp_path / "app.json"
    spec.write_text(json.dumps({"applications": [app([address])]}))
    backend = Server(address).start()
    with colony(args=["-f", str(spec)]) as c:
        wait_until(lambda: (c.status("web") or {}).get("status") == "RUNNING", "the application runs")
        time.sleep(0.5)  # what it prints then once ended it
        code, _, err = c.cli("infer", "web", "--json", "{}", check=False)
        assert code == 2 and "a server of your own and serves no model here" in err, err
        assert c.process.poll() is None
    backend.stop()
