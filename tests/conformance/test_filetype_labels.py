"""The file-type demo answers what the magika package answers: same label, same score, for real files of many types."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import py_compile
import sqlite3
import struct
import subprocess
import sys
import tarfile
import wave
import zipfile
import zlib
from pathlib import Path

import numpy
import pytest
from magika import Magika
from replica_process import SOURCE, Replica


def png():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((x * y) % 256 for x in range(64 * 3)) for y in range(64))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows))
            + chunk(b"IEND", b""))


def bmp():
    pixels = bytes(range(256)) * 48
    return b"BM" + struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 64, 64, 1, 24, 0, len(pixels), 0, 0, 0, 0) + pixels


def pdf():
    parts = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
             b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R >>",
             b"<< /Length 44 >>\nstream\nBT /F1 24 Tf 100 700 Td (Hello World) Tj ET\nendstream"]
    out, offsets = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for i, part in enumerate(parts, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n" % i + part + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % o for o in offsets)
    return out + b"trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start


def archive(names, folder, kind):
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
            for name in names:
                z.write(folder / name, name)
    else:
        with tarfile.open(fileobj=out, mode="w") as t:
            for name in names:
                t.add(folder / name, name)
    return out.getvalue()


TEXTS = {
    "page.html": "<!DOCTYPE html>\n<html lang='en'>\n<head><title>Files</title><meta charset='utf-8'></head>\n<body>\n<h1>Files</h1>\n"
                 "<p>A paragraph with <a href='https://example.com/'>a link</a>.</p>\n<ul><li>one</li><li>two</li></ul>\n</body>\n</html>\n",
    "style.css": "body { margin: 0; font-family: sans-serif; }\n.header { background: #fafafa; color: #333; padding: 1rem 2rem; }\n"
                 "a:hover { text-decoration: underline; }\n@media (max-width: 600px) { .header { display: none; } }\n",
    "app.js": "'use strict';\nconst http = require('http');\nfunction handler(req, res) {\n  res.writeHead(200, {'Content-Type': 'text/plain'});\n"
              "  res.end(`hello ${req.url}\\n`);\n}\nhttp.createServer(handler).listen(8080, () => console.log('up'));\nmodule.exports = { handler };\n",
    "data.xml": "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<catalog>\n  <book id=\"1\"><title>One</title><price>10.5</price></book>\n"
                "  <book id=\"2\"><title>Two</title><price>20.0</price></book>\n</catalog>\n",
    "table.csv": "id,name,price,quantity\n" + "".join(f"{i},item {i},{i * 1.5},{i % 7}\n" for i in range(60)),
    "Main.java": "package com.example;\n\nimport java.util.ArrayList;\nimport java.util.List;\n\npublic class Main {\n"
                 "  private final List<String> names = new ArrayList<>();\n  public static void main(String[] args) {\n"
                 "    System.out.println(\"hello\");\n    for (String a : args) { new Main().names.add(a); }\n  }\n}\n",
    "main.go": "package main\n\nimport (\n\t\"fmt\"\n\t\"net/http\"\n)\n\nfunc handler(w http.ResponseWriter, r *http.Request) {\n"
               "\tfmt.Fprintf(w, \"hi %s\", r.URL.Path)\n}\n\nfunc main() {\n\thttp.HandleFunc(\"/\", handler)\n\thttp.ListenAndServe(\":8080\", nil)\n}\n",
    "lib.rs": "use std::collections::HashMap;\n\n#[derive(Debug, Clone)]\npub struct Counter {\n    counts: HashMap<String, u64>,\n}\n\nimpl Counter {\n"
              "    pub fn add(&mut self, word: &str) -> u64 {\n        let n = self.counts.entry(word.to_string()).or_insert(0);\n        *n += 1;\n        *n\n    }\n}\n",
    "index.php": "<?php\nnamespace App;\n\nclass Greeter {\n    private string $name;\n    public function __construct(string $name) { $this->name = $name; }\n"
                 "    public function greet(): void { echo \"Hello, {$this->name}\\n\"; }\n}\n(new Greeter($_GET['name'] ?? 'you'))->greet();\n",
    "task.rb": "require 'json'\n\nclass Task\n  attr_reader :name, :done\n  def initialize(name)\n    @name = name\n    @done = false\n  end\n"
               "  def finish!\n    @done = true\n    puts \"finished #{@name}\"\n  end\nend\n\nTask.new('one').finish!\n",
    "query.sql": "CREATE TABLE users (\n  id INTEGER PRIMARY KEY,\n  name VARCHAR(100) NOT NULL,\n  created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP\n);\n"
                 "INSERT INTO users (id, name) VALUES (1, 'a'), (2, 'b');\nSELECT u.name, COUNT(*) FROM users u JOIN orders o ON o.user_id = u.id GROUP BY u.name;\n",
    "image.svg": "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"100\" height=\"100\" viewBox=\"0 0 100 100\">\n"
                 "  <circle cx=\"50\" cy=\"50\" r=\"40\" fill=\"#f06\"/>\n  <path d=\"M10 10 L90 90\" stroke=\"black\"/>\n</svg>\n",
    "setup.ini": "[server]\nhost = 127.0.0.1\nport = 8000\n\n[client]\ntimeout = 30\nretries = 3\n; a comment\nname = test\n",
    "lines.jsonl": "".join(json.dumps({"id": i, "text": f"line {i}", "ok": i % 2 == 0}) + "\n" for i in range(40)),
    "change.diff": "diff --git a/x.c b/x.c\nindex 83db48f..bf269f4 100644\n--- a/x.c\n+++ b/x.c\n@@ -1,5 +1,6 @@\n #include <stdio.h>\n+#include <stdlib.h>\n"
                   " int main(void) {\n-  return 0;\n+  return EXIT_SUCCESS;\n }\n",
    "Dockerfile": "FROM debian:12\nRUN apt-get update && apt-get install -y curl\nWORKDIR /app\nCOPY . /app\nENV PORT=8000\nEXPOSE 8000\nCMD [\"./run\"]\n",
    "paper.tex": "\\documentclass{article}\n\\usepackage{amsmath}\n\\title{A paper}\n\\begin{document}\n\\maketitle\n\\section{Introduction}\nWe show that $a^2+b^2=c^2$.\n"
                 "\\begin{equation}\n\\int_0^1 x\\,dx = \\frac{1}{2}\n\\end{equation}\n\\end{document}\n",
}

# Files of this tree and of the machine, which every place that runs the tests has.
OWN = ["README.md", "CMakeLists.txt", "CMakePresets.json", "dev", "LICENSE", "src/base/error.cc", "src/base/error.h",
       "src/async/epoll_loop.cc", "tools/lint/includes.py", "tools/test/run_corpus", "proto/inference/grpc_service.proto",
       "proto/grpc/health/v1/health.proto", ".clang-format", "examples/filetype/app.yaml", "examples/filetype/config.min.json",
       "examples/filetype/model.onnx", "cmake/flags.cmake", "tests/data/onnx/generate.py"]
MACHINE = ["/bin/ls", "/bin/bash", "/usr/include/stdio.h", "/usr/include/stdlib.h", "/usr/lib/os-release", "/usr/share/common-licenses/GPL-2",
           "/etc/passwd", "/lib/x86_64-linux-gnu/libc.so.6", os.__file__, json.__file__]
EDGES = {
    "empty": b"", "one": b"x", "seven": b"1234567", "seven_binary": b"\xff\xfe\0\1\2\3\4", "spaces": b" \n\t" * 3000, "few_in_space": b" " * 5000 + b"abc" + b" " * 5000,
    "eight": b"12345678", "zeros": bytes(10000), "cut_utf8": (b"  " * 2047 + b" " + "é".encode() + b" " * 100), "noise": numpy.random.default_rng(1).bytes(20000),
    "block": b"a" * 4096, "block_and_one": b" " + b"a" * 4096,
}


def write_files(folder):
    files = {}

    def add(name, data):
        path = folder / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        files[name] = path

    for name, text in TEXTS.items():
        add(name, text)
    names = list(TEXTS)
    add("files.zip", archive(names, folder, "zip"))
    tar = archive(names, folder, "tar")
    add("files.tar", tar)
    add("files.tar.gz", gzip.compress(tar, mtime=0))
    add("files.tar.bz2", bz2.compress(tar))
    add("files.tar.xz", lzma.compress(tar))
    add("image.png", png())
    add("image.bmp", bmp())
    add("paper.pdf", pdf())
    add("array.npy", b"")
    numpy.save(files["array.npy"], numpy.arange(1000.0))
    add("object.pickle", pickle.dumps({"a": list(range(100)), "b": ("x", 1.5)}))
    with sqlite3.connect(folder / "table.sqlite") as database:
        database.execute("CREATE TABLE t (id INTEGER, name TEXT)")
        database.executemany("INSERT INTO t VALUES (?, ?)", [(i, f"n{i}") for i in range(100)])
    database.close()
    files["table.sqlite"] = folder / "table.sqlite"
    py_compile.compile(json.__file__, cfile=str(folder / "module.pyc"), doraise=True)
    files["module.pyc"] = folder / "module.pyc"
    with wave.open(str(folder / "tone.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"".join(struct.pack("<h", (i * 300) % 20000 - 10000) for i in range(8000)))
    files["tone.wav"] = folder / "tone.wav"
    for name, data in EDGES.items():
        add(name, data)
    package = folder / "deb"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "DEBIAN/control").write_text("Package: test\nVersion: 1\nArchitecture: all\nMaintainer: t <t@example.com>\nDescription: test\n")
    (package / "readme").write_text("hello\n")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", package, folder / "test.deb"], check=True, capture_output=True)
    files["test.deb"] = folder / "test.deb"
    for name in OWN:
        files[name] = SOURCE / name
    for name in MACHINE:
        files[name] = Path(name)
    return files


@pytest.fixture(scope="module")
def replica():
    spec = {"name": "classifier", "runtime": "onnx", "transform": "filetype", "model": {"path": str(SOURCE / "examples/filetype/model.onnx")}}
    r = Replica(spec, "filetype")
    assert r.state.startswith("READY"), r.state
    yield r
    r.stop()


def test_labels_and_scores_equal_the_packages_own(replica, tmp_path):
    package = Magika()
    files = write_files(tmp_path)
    labels, wrong = set(), []
    for name, path in files.items():
        theirs = package.identify_path(path)
        status, body = replica.curl("/filetype", "--data-binary", f"@{path}")
        assert status == 200, (name, body)
        ours = json.loads(body)
        labels.add(ours["label"])
        expected = theirs.output
        if (ours["label"], ours["mime_type"], ours["group"], ours["description"]) != (
                str(expected.label), expected.mime_type, expected.group, expected.description) or abs(ours["score"] - theirs.score) > 0.002:
            wrong.append((name, ours, str(expected.label), theirs.score))
    assert not wrong
    assert len(files) >= 60, len(files)
    assert len(labels) >= 25, sorted(labels)


def test_the_model_itself_answers_over_the_inference_protocol(replica):
    status, body = replica.curl("/v2/models/filetype")
    assert status == 200
    assert json.loads(body)["inputs"] == [{"name": "bytes", "datatype": "INT32", "shape": [-1, 2048]}]
    request = {"inputs": [{"name": "bytes", "datatype": "INT32", "shape": [1, 2048], "data": [32] * 2048}]}
    run = subprocess.run(["curl", "-s", "--unix-socket", replica.socket, "--data-binary", "@-", "localhost/v2/models/filetype/infer"],
                         input=json.dumps(request).encode(), capture_output=True, check=True)
    scores = json.loads(run.stdout)["outputs"][0]
    assert scores["shape"] == [1, 214] and abs(sum(scores["data"]) - 1) < 1e-3


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
