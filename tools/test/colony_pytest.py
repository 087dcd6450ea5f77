"""pytest plug-in: under CI=true a skipped or expected-to-fail test fails the run, for what is not run proves nothing."""
import os


def pytest_sessionfinish(session, exitstatus):
    if os.environ.get("CI") != "true" or exitstatus != 0:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    weak = [report.nodeid for kind in ("skipped", "xfailed", "xpassed") for report in reporter.stats.get(kind, [])]
    if weak:
        reporter.write_line("not run under CI: " + ", ".join(weak))
        session.exitstatus = 1
