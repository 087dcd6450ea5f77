"""pytest plug-in for the tests that start processes.

Under CI=true a skipped or expected-to-fail test fails the run, for what is not run proves nothing. And whatever a sanitizer
says in a process that a test started fails the run too: replicas and roles write into files of their own, which no test reads,
and a process that is killed in the end has no exit code that would tell.
"""
import glob
import os
import shutil
import tempfile

SANITIZERS = ("ASAN", "UBSAN", "LSAN", "TSAN")


def pytest_configure(config):
    config.sanitizer_reports = tempfile.mkdtemp(prefix="colony-reports-")
    for name in SANITIZERS:
        given = os.environ.get(name + "_OPTIONS")
        report = f"log_path={config.sanitizer_reports}/{name.lower()}"
        os.environ[name + "_OPTIONS"] = f"{given}:{report}" if given else report


def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    for path in sorted(glob.glob(session.config.sanitizer_reports + "/*")):
        with open(path, encoding="utf-8", errors="replace") as file:
            reporter.write_line(f"a process said ({os.path.basename(path)}):\n{file.read()[:20000]}")
        session.exitstatus = 1
    if os.environ.get("CI") != "true" or exitstatus != 0:
        return
    weak = [report.nodeid for kind in ("skipped", "xfailed", "xpassed") for report in reporter.stats.get(kind, [])]
    if weak:
        reporter.write_line("not run under CI: " + ", ".join(weak))
        session.exitstatus = 1


def pytest_unconfigure(config):
    shutil.rmtree(config.sanitizer_reports, ignore_errors=True)
