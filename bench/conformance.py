#!/usr/bin/env python3
"""How often Colony, nginx and HAProxy do what the RFCs of HTTP/1.1 say: every case of tests/conformance/http_cases.py sent to
each of them, as a proxy before the same lenient origin (Colony before its echo replica).

    ./dev bench conformance [--arms colony,nginx,haproxy] [--write]

Prints a Markdown document; --write puts it into docs/http-conformance.md."""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.pop(0)  # this folder holds an http.py, which is not the library's
ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "tests/conformance"), str(ROOT / "tests/e2e")]
os.environ.setdefault("COLONY_BINARY", str(ROOT / "build/release/colony"))
os.environ.setdefault("COLONY_SOURCE_DIR", str(ROOT))

from http_cases import CASES, allowed
from http_runner import run
from running import colony, echo_app, free_port

NGINX = """worker_processes 1; daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/nginx.err crit;
events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
 uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
 upstream o {{ server 127.0.0.1:{origin}; }}
 server {{ listen 127.0.0.1:{port}; location / {{ proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://o; }} }} }}
"""
HAPROXY = """global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server o 127.0.0.1:{origin}
"""


async def origin(reader, writer):
    """Echoes bodies; takes whatever a proxy thinks fit to pass on. Where even that is not understood it answers 400 and
    closes, as an application server would."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
            body = b""
            if fields.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if "chunked" in fields.get("transfer-encoding", "").lower():
                while size := int((await reader.readline()).split(b";")[0], 16):
                    body += (await reader.readexactly(size + 2))[:-2]
                while (await reader.readline()).strip():
                    pass
            elif "content-length" in fields:
                body = await reader.readexactly(int(fields["content-length"]))
            sent = b"" if head[0].startswith("HEAD ") else body
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), sent))
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        pass
    except ValueError:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()


def start_origin():
    port, up = free_port(), threading.Event()

    async def serve():
        await asyncio.start_server(origin, "127.0.0.1", port, limit=1 << 22)
        up.set()
        await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    up.wait()
    return port


def measure(address):
    def one(c):
        group, name, raw, outcomes, body = c
        seen, got = run(address, raw, outcomes[0], 5.0, 0.5)
        good = allowed(outcomes, seen) and (body is None or got == body or not seen.startswith("200"))
        return seen, good

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, CASES))


def version(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


def document(results, versions):
    commit = version("git", "-C", ROOT, "rev-parse", "--short", "HEAD")
    groups = list(dict.fromkeys(c[0] for c in CASES))
    arms = list(results)
    out = ["# HTTP/1.1 by the book", "",
           f"{len(CASES)} requests, most of them malformed, against what RFC 9110 and RFC 9112 allow as an answer. The table is",
           "[tests/conformance/http_cases.py](../tests/conformance/http_cases.py); where the RFCs leave a choice (repair or refuse), every choice counts",
           "as right. Colony's answers are held to the table by a test; the others are shown for comparison, in their default configuration as a proxy.", "",
           f"{time.strftime('%Y-%m-%d')}, commit {commit}: " + "; ".join(versions[a] for a in arms) + ".",
           "Repeat it: `./dev bench conformance --write`.", "",
           "| group | cases | " + " | ".join(arms) + " |", "|---|---|" + "---|" * len(arms)]
    for g in [*groups, "all"]:
        at = [i for i, c in enumerate(CASES) if g in (c[0], "all")]
        out.append(f"| {g} | {len(at)} | " + " | ".join(str(sum(results[a][i][1] for i in at)) for a in arms) + " |")
    out += ["", "## Where an answer is not the RFCs'", "", "| case | " + " | ".join(arms) + " | right |", "|---|" + "---|" * (len(arms) + 1)]
    for i, (group, name, _, outcomes, _) in enumerate(CASES):
        if not all(results[a][i][1] for a in arms):
            cells = [("" if results[a][i][1] else "**") + results[a][i][0] + ("" if results[a][i][1] else "**") for a in arms]
            out.append(f"| {group}: {name.replace('|', chr(92) + '|')} | " + " | ".join(cells) + " | " + ", ".join(outcomes) + " |")
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--arms", default="colony,nginx,haproxy")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    behind, results, versions = start_origin(), {}, {}
    for arm in args.arms.split(","):
        if arm == "colony":
            versions[arm] = version(os.environ["COLONY_BINARY"], "--version")
            with colony() as running:
                running.apply({**echo_app(replicas=1, max_ongoing_requests=100), "route_prefix": "/"})
                results[arm] = measure(running.http)
            continue
        versions[arm] = version(arm, "-v")
        with tempfile.TemporaryDirectory() as folder:
            port = free_port()
            path = Path(folder, "conf")
            path.write_text({"nginx": NGINX, "haproxy": HAPROXY}[arm].format(dir=folder, port=port, origin=behind))
            command = ["nginx", "-c", path, "-p", folder] if arm == "nginx" else ["haproxy", "-f", path]
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            try:
                for _ in range(200):
                    try:
                        run(f"127.0.0.1:{port}", CASES[0][2], "200 open", 5.0, 0.1)
                        break
                    except OSError:
                        time.sleep(0.05)
                results[arm] = measure(f"127.0.0.1:{port}")
            finally:
                process.terminate()
                process.wait()
    text = document(results, versions)
    if args.write:
        (ROOT / "docs/http-conformance.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
