#!/usr/bin/env python3
"""The test run refuses what a green bar would hide: empty binaries, skipped cases under CI, things left behind."""
import os
import socket
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import leftovers  # noqa: E402


def report_of(*results):
    cases = ",".join('{"classname":"A","name":"b%d","status":"RUN","result":"%s"}' % pair for pair in enumerate(results))
    return '{"testsuites":[{"testsuite":[' + cases + "]}]}"


class RunGtest(unittest.TestCase):
    """run_gtest.py around a stand-in for a test binary: a script that writes the report it is told to write."""

    def run_with(self, report, code=0, ci="true"):
        with tempfile.TemporaryDirectory(prefix="colony-self-") as folder:
            binary = os.path.join(folder, "binary")
            with open(binary, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\nout=${{1#--gtest_output=json:}}\nprintf '%s' '{report}' >\"$out\"\nexit {code}\n")
            os.chmod(binary, 0o755)
            return subprocess.run([os.path.join(HERE, "run_gtest.py"), binary], capture_output=True, check=False,
                                  env=dict(os.environ, CI=ci)).returncode

    def test_a_binary_with_a_case_that_passed_passes(self):
        self.assertEqual(self.run_with(report_of("COMPLETED")), 0)

    def test_a_binary_that_failed_fails(self):
        self.assertEqual(self.run_with(report_of("COMPLETED"), code=1), 1)

    def test_a_binary_without_a_case_fails(self):
        self.assertEqual(self.run_with('{"testsuites":[]}', ci=""), 1)

    def test_a_skipped_case_fails_under_ci_only(self):
        self.assertEqual(self.run_with(report_of("COMPLETED", "SKIPPED")), 1)
        self.assertEqual(self.run_with(report_of("COMPLETED", "SKIPPED"), ci=""), 0)


class RunPytest(unittest.TestCase):
    """run_pytest around a file of tests written here."""

    def run_with(self, text, ci="true"):
        with tempfile.TemporaryDirectory(prefix="colony-self-") as folder:
            path = os.path.join(folder, "test_it.py")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            return subprocess.run([os.path.join(HERE, "run_pytest"), path], capture_output=True, check=False, text=True,
                                  env=dict(os.environ, CI=ci, COLONY_BINARY="/bin/true", TMPDIR=folder))

    def test_a_test_that_passes_passes(self):
        done = self.run_with("def test_a():\n    pass\n")
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_a_skipped_test_fails_under_ci_only(self):
        text = "import pytest\ndef test_a():\n    pytest.skip('no')\n"
        self.assertEqual(self.run_with(text).returncode, 1)
        self.assertEqual(self.run_with(text, ci="").returncode, 0)

    def test_what_a_sanitizer_says_in_a_child_fails_the_run(self):
        done = self.run_with(
            "import os, re\n"
            "def test_a():\n"
            "    for name in ('ASAN', 'TSAN', 'UBSAN', 'LSAN'):\n"
            "        path = re.search('log_path=([^:]+)', os.environ[name + '_OPTIONS'])[1]\n"
            "        open(path + '.77', 'w').write('WARNING: data race in ' + name)\n", ci="")
        self.assertEqual(done.returncode, 1)
        self.assertIn("data race in TSAN", done.stdout)


class Leftovers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="colony-self-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.run_id = f"self-test-{os.getpid()}"

    def test_a_clean_run_leaves_nothing(self):
        self.assertEqual(leftovers.Watch(self.run_id, self.folder).left(alone=False), [])

    def test_a_process_is_named_and_ended(self):
        watch = leftovers.Watch(self.run_id, self.folder)
        child = subprocess.Popen(["sleep", "300"], env=dict(os.environ, COLONY_TEST_RUN=self.run_id), start_new_session=True)
        lines = watch.left(alone=False)
        self.assertEqual(child.wait(10), -9)
        self.assertEqual(lines, [f"process {child.pid}: sleep 300"])

    def test_a_process_that_is_ending_gets_a_moment(self):
        watch = leftovers.Watch(self.run_id, self.folder)
        with subprocess.Popen(["sleep", "0.5"], env=dict(os.environ, COLONY_TEST_RUN=self.run_id)):
            self.assertEqual(watch.left(alone=False), [])

    def test_a_socket_file_is_named(self):
        watch = leftovers.Watch(self.run_id, self.folder)
        path = os.path.join(self.folder, "s")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            self.assertEqual(watch.left(alone=False), [f"socket {path}"])

    def test_shared_memory_that_carries_the_run_is_named(self):
        watch = leftovers.Watch(self.run_id, self.folder)
        path = "/dev/shm/" + self.run_id
        with open(path, "w", encoding="utf-8"):
            pass
        self.addCleanup(os.remove, path)
        self.assertEqual(watch.left(alone=False), [f"shared memory {path}"])


if __name__ == "__main__":
    unittest.main()
