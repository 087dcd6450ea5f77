"""TLS on the request port as other people's programs see it: openssl s_client, curl, Python's ssl, grpcio, tritonclient. Versions,
protocols, client certificates, certificates that are replaced while requests run, and files that are wrong."""
import http.client
import os
import socket
import ssl
import subprocess

import grpc
import numpy as np
import pytest
import tritonclient.grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from running import BINARY, PATIENCE, Colony, Threads, colony, echo_app, wait_until
from test_metrics import scrape, total

BOTH = pytest.mark.parametrize("processes", [False, True], ids=["one-process", "processes"])


def openssl(*arguments, cwd):
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True)


def authority(folder, name):
    """NAME.pem and NAME.key: who signs."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.pem", cwd=folder)


def issue(folder, name, by):
    """NAME.pem and NAME.key, signed by the authority `by`, for localhost. Returns its serial number as s_client prints it."""
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
            f"{name}.key", "-out", f"{name}.csr", cwd=folder)
    with open(folder / f"{name}.ext", "w") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial", "-days", "1",
            "-extfile", f"{name}.ext", "-out", f"{name}.pem", cwd=folder)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    for name in ("site", "people"):
        authority(folder, name)
    for name, by in (("first", "site"), ("second", "site"), ("ann", "people"), ("stranger", "site")):
        issue(folder, name, by)
    return folder


def flags(pki, name="first", clients=False):
    more = ["--tls-client-ca", str(pki / "people.pem")] if clients else []
    return ["--tls-cert", str(pki / f"{name}.pem"), "--tls-key", str(pki / f"{name}.key"), *more]


@pytest.fixture(scope="module")
def server(pki):
    with colony(args=flags(pki)) as c:
        c.apply(echo_app(replicas=2, max_ongoing_requests=100))
        yield c


@pytest.fixture(scope="module")
def closed_server(pki):
    with colony(args=flags(pki, clients=True)) as c:
        c.apply(echo_app(replicas=1))
        yield c


def s_client(c, *arguments, say=b""):
    done = subprocess.run(["openssl", "s_client", "-connect", c.http, *arguments], input=say, capture_output=True, timeout=PATIENCE)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def curl(c, pki, *arguments, path="/echo", body="hello"):
    """(exit code, what it printed, HTTP version and status)."""
    done = subprocess.run(["curl", "-sS", "--cacert", str(pki / "site.pem"), "-m", str(int(PATIENCE)), "-w", "\n%{http_version} %{http_code}",
                           "-d", body, *arguments, f"https://{c.http}{path}"], capture_output=True, text=True)
    out, _, numbers = done.stdout.rpartition("\n")
    return done.returncode, out + done.stderr, numbers


def trusting(pki, certificate=None):
    context = ssl.create_default_context(cafile=str(pki / "site.pem"))
    if certificate:
        context.load_cert_chain(pki / f"{certificate}.pem", pki / f"{certificate}.key")
    return context


# ---- versions and protocols ----
def test_the_banner_and_the_versions(server):
    assert f"https://{server.http}" in server.banner
    for version in ("-tls1_2", "-tls1_3"):
        code, text = s_client(server, version)
        assert code == 0 and f"Protocol  : TLSv1.{version[-1]}" in text or f"New, TLSv1.{version[-1]}" in text, text
    for version in ("-tls1", "-tls1_1"):
        code, text = s_client(server, version, "-cipher", "DEFAULT@SECLEVEL=0")
        assert code != 0 and "protocol version" in text, text


def test_alpn_and_renegotiation(server):
    for offer, chosen in (("h2,http/1.1", "h2"), ("http/1.1", "http/1.1"), ("http/1.1,h2", "h2")):
        assert f"ALPN protocol: {chosen}" in s_client(server, "-alpn", offer)[1]
    code, text = s_client(server, "-alpn", "smtp")
    assert code != 0 and "no application protocol" in text, text
    code, text = s_client(server, "-tls1_2", say=b"R\n")  # s_client's command to renegotiate
    assert "RENEGOTIATING" in text and ("no renegotiation" in text or "closed" in text or code != 0), text


def test_curl_speaks_both_versions_of_http(server, pki):
    assert curl(server, pki, "--http1.1") == (0, "hello", "1.1 200")
    assert curl(server, pki, "--http2") == (0, "hello", "2 200")
    assert curl(server, pki, "--http1.1", "--no-alpn") == (0, "hello", "1.1 200")
    large = "x" * (3 << 20)
    for version in ("--http1.1", "--http2"):
        code, text, numbers = curl(server, pki, version, "-d", "@-", body="")
        done = subprocess.run(["curl", "-sS", "--cacert", str(pki / "site.pem"), version, "--data-binary", "@-",
                               f"https://{server.http}/echo"], input=large, capture_output=True, text=True, timeout=PATIENCE)
        assert done.stdout == large, (version, done.stderr, code, text, numbers)


def test_plain_http_on_this_port_is_told_what_to_do(server):
    status, headers, raw = server.request("POST", "/echo", b"hello")
    assert status == 400 and b"this port speaks TLS" in raw, (status, headers, raw)


def test_python_keeps_a_connection_and_resumes_a_session(server, pki):
    context = trusting(pki)
    host, port = server.http.split(":")
    session = None
    for round_ in range(3):
        with context.wrap_socket(socket.create_connection((host, int(port)), PATIENCE), server_hostname="localhost",
                                 session=session) as s:
            for _ in range(20):
                s.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nping")
                text = b""
                while not text.endswith(b"ping"):
                    text += s.recv(65536)
                assert text.startswith(b"HTTP/1.1 200")
            assert s.session_reused == (round_ > 0)
            session = s.session


def test_grpc_clients(server, pki):
    roots = (pki / "site.pem").read_bytes()
    host = "localhost:" + server.http.split(":")[1]
    with grpc.secure_channel(host, grpc.ssl_channel_credentials(roots)) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        reply = health.Check(health_pb2.HealthCheckRequest(service="echo"), timeout=PATIENCE)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
    client = tritonclient.grpc.InferenceServerClient(host, ssl=True, root_certificates=str(pki / "site.pem"))
    x = np.arange(6, dtype=np.int32).reshape(2, 3)
    given = tritonclient.grpc.InferInput("x", x.shape, "INT32")
    given.set_data_from_numpy(x)
    assert (client.infer("echo", [given]).as_numpy("x") == x).all()
    client.close()


def test_handshakes_are_counted(server):
    s_client(server, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
    s_client(server)
    wait_until(lambda: total(scrape(server), "colony_tls_handshakes_total", result="failed") >= 1, "a failed handshake is counted")
    assert total(scrape(server), "colony_tls_handshakes_total", result="full") >= 1


# ---- client certificates ----
def test_only_clients_of_the_authority_are_served(closed_server, pki):
    c = closed_server
    for version in ("1.2", "1.3"):
        limits = ["--tlsv" + version, "--tls-max", version]
        me = ["--cert", str(pki / "ann.pem"), "--key", str(pki / "ann.key")]
        assert curl(c, pki, *limits, *me) == (0, "hello", "2 200")
        code, text, _ = curl(c, pki, *limits)
        assert code != 0 and "hello" not in text and "certificate required" in text + " certificate required" * (version == "1.2"), text
        code, text, _ = curl(c, pki, *limits, "--cert", str(pki / "stranger.pem"), "--key", str(pki / "stranger.key"))
        assert code != 0 and "hello" not in text, text
    connection = http.client.HTTPSConnection(c.http, context=trusting(pki, "ann"), timeout=PATIENCE)
    connection.request("POST", "/echo", b"ping")
    assert connection.getresponse().read() == b"ping"


# ---- certificates that change ----
class TlsLoad(Threads):
    """Requests without a pause over TLS, half of the clients with a connection per request. Collects what went wrong and the
    certificates that were shown."""

    enough = 30

    def __init__(self, c, pki, clients=4):
        super().__init__(clients)
        self.host, self.port = c.http.split(":")
        self.context, self.seen = trusting(pki), set()

    def _run(self, i):
        keep, connection = i % 2 == 0, None
        while not self._stop.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPSConnection(self.host, int(self.port), context=self.context, timeout=PATIENCE)
                    connection.connect()
                    with self._lock:
                        self.seen.add(dict(x[0] for x in connection.sock.getpeercert()["subject"])["commonName"])
                connection.request("POST", "/echo", b"ping")
                reply = connection.getresponse()
                failure = None if (reply.status, reply.read()) == (200, b"ping") else f"status {reply.status}"
                if not keep:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as e:
                failure, connection = repr(e), None
            with self._lock:
                self.count += 1
                if failure:
                    self.failures.append(failure)


def put(folder, pki, name, what=("pem", "key")):
    """Replaces the server's files by renaming, as a certificate tool does."""
    for kind in what:
        (folder / "new").write_bytes((pki / f"{name}.{kind}").read_bytes())
        os.replace(folder / "new", folder / f"server.{kind}")


@BOTH
def test_certificates_are_replaced_under_load_without_a_failed_request(pki, tmp_path, processes):
    put(tmp_path, pki, "first")
    with colony(processes, ["--tls-cert", str(tmp_path / "server.pem"), "--tls-key", str(tmp_path / "server.key")]) as c:
        c.apply(echo_app(replicas=2))
        with TlsLoad(c, pki) as load:
            for name in ("second", "first", "second"):
                put(tmp_path, pki, name)
                load.seen.clear()
                wait_until(lambda: name in load.seen, f"the certificate {name} is shown")
            # A key without its certificate: said, counted, and the old pair stays.
            put(tmp_path, pki, "first", ["key"])
            wait_until(lambda: total(scrape(c), "colony_tls_certificate_reloads_total", result="failed") >= 1, "the failure is counted")
            load.seen.clear()
            load.flowed()
            assert load.seen == {"second"}
            put(tmp_path, pki, "first")
            wait_until(lambda: "first" in load.seen, "the pair is whole again and shown")
        assert not load.failures, load.failures[:10]
        log = c.errors() if not processes else open(f"{c.data_dir}/logs/colony.proxy.log").read()
        assert "the old one stays" in log and "PRIVATE" not in log, log[-2000:]
        assert "colony_tls_certificate_expiry_timestamp_seconds" in scrape(c)


# ---- settings ----
def up_fails(folder, *arguments, env=None):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("COLONY_")}
    done = subprocess.run([BINARY, "up", "--data-dir", str(folder / "data"), "--http", "127.0.0.1:0", "--control", "127.0.0.1:0", *arguments],
                          capture_output=True, text=True, timeout=PATIENCE, env={**clean, **(env or {})})
    assert "Colony is up" not in done.stdout
    return done.returncode, done.stderr


@pytest.mark.parametrize("shape", [[], ["--processes"]], ids=["one-process", "processes"])
def test_files_that_are_wrong_are_named_at_start(pki, tmp_path, shape):
    cert, key = str(pki / "first.pem"), str(pki / "second.key")
    code, err = up_fails(tmp_path, *shape, "--tls-cert", cert, "--tls-key", key)
    assert code == 2 and f"tls_key {key}: does not belong to the certificate in {cert}" in err, (code, err)
    code, err = up_fails(tmp_path, *shape, "--tls-cert", cert)
    assert code == 2 and "tls_cert (from flag) needs tls_key beside it" in err, (code, err)
    code, err = up_fails(tmp_path, *shape, env={"COLONY_TLS_CLIENT_CA": cert})
    assert code == 2 and "tls_client_ca (from COLONY_TLS_CLIENT_CA) needs tls_cert beside it" in err, (code, err)


def test_the_three_settings_come_from_file_and_environment_too(pki, tmp_path):
    (tmp_path / "colony.yaml").write_text(f"tls_cert: {pki}/first.pem\ntls_client_ca: {pki}/people.pem\n")
    with Colony(str(tmp_path / "data"), args=["--config", str(tmp_path / "colony.yaml")],
                env={"COLONY_TLS_KEY": str(pki / "first.key")}) as c:
        code, text, _ = curl(c, pki, "--cert", str(pki / "ann.pem"), "--key", str(pki / "ann.key"), path="/v2/health/live")
        assert code == 0, text
        assert curl(c, pki, path="/v2/health/live")[0] != 0
