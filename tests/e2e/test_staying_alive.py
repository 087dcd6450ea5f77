"""What dies comes back, what serves goes on: with real processes, real kill -9, in both shapes of `colony up`."""
import os
import signal

import pytest
from running import Colony, Load, alive, colony, echo_app, wait_until

BOTH = pytest.mark.parametrize("processes", [False, True], ids=["one-process", "processes"])


@BOTH
def test_a_killed_replica_is_ready_again_in_place(processes):
    with colony(processes) as c:
        c.apply(echo_app(replicas=2))
        victim = c.replicas("echo")[0]
        os.kill(victim["pid"], signal.SIGKILL)

        def back():
            r = next(r for r in c.replicas("echo") if r["id"] == victim["id"])
            return r if r["state"] == "READY" and r["restarts"] == 1 else None

        again = wait_until(back, "the replica READY in its second incarnation", 10)
        assert again["pid"] != victim["pid"]
        assert "SIGKILL" in again["last_error"]
        assert c.echo()[0] == 200


@BOTH
def test_a_replica_that_keeps_dying_backs_off_and_status_tells_why(processes):
    with colony(processes) as c:
        c.apply(echo_app(replicas=2))
        victim = c.replicas("echo")[0]["id"]
        for restarts in range(3):
            r = wait_until(lambda: next((r for r in c.replicas("echo") if r["id"] == victim and r["state"] == "READY"
                                         and r["restarts"] == restarts), None), f"restart {restarts}")
            os.kill(r["pid"], signal.SIGKILL)
        failed = wait_until(lambda: next((r for r in c.replicas("echo") if r["id"] == victim and r["state"] == "FAILED"), None),
                            "a FAILED replica that waits for its next start")
        assert "SIGKILL" in failed["reason"] and "next start" in failed["reason"], failed
        with Load(c) as load:
            load.flowed(100)
        assert load.failures == [], "the other replica serves"


@pytest.mark.parametrize("role", ["keeper", "master-host", "discovery", "agent"])
def test_a_killed_role_costs_no_request_and_no_replica(role):
    with colony(processes=True) as c:
        c.apply(echo_app(replicas=3))
        before, pid = c.pids("echo"), c.role_pid(role)
        with Load(c) as load:
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not alive(pid), "the kill")
            load.flowed(200)
            wait_until(lambda: c.role_pid(role) != pid and alive(c.role_pid(role)), f"a new {role}")
            load.flowed(200)
        assert load.failures == []
        def adopted():
            try:
                s = c.status("echo")
            except OSError:
                return False
            return s and s["status"] == "RUNNING" and c.pids("echo") == before

        wait_until(adopted, f"everything adopted, nothing restarted; {before}")
        c.apply(echo_app(replicas=1))  # and it obeys again
        assert len(c.replicas("echo")) == 1


@BOTH
def test_after_kill_9_of_everything_that_decides_the_apps_are_back_with_the_same_replicas(processes, tmp_path):
    c = Colony(str(tmp_path / "data"), processes).start()
    c.apply(echo_app(replicas=2))
    before = c.pids("echo")
    c.kill()
    if processes:  # the agent first, or it would restart the others while they are killed
        for role in ("agent", "keeper", "master-host", "discovery", "proxy"):
            os.kill(c.role_pid(role), signal.SIGKILL)
    for pid in before.values():
        assert alive(pid), "replicas outlive colony up"
    with Colony(str(tmp_path / "data"), processes) as again:
        again.wait_running("echo")
        assert again.pids("echo") == before
        assert again.echo()[2] == b"hello"


@BOTH
def test_processes_without_anybody_end_after_the_orphan_timeout(processes, tmp_path):
    c = Colony(str(tmp_path / "data"), processes, ["--orphan-timeout-s", "1"]).start()
    c.apply(echo_app(replicas=2))
    pids = c.all_pids()
    agent = c.role_pid("agent") if processes else None
    c.kill()
    if agent:
        os.kill(agent, signal.SIGKILL)
    wait_until(lambda: not any(alive(p) for p in pids), "every process ends as an orphan", 30)
    with Colony(str(tmp_path / "data"), processes) as again:
        again.wait_running("echo")
        assert again.echo()[0] == 200


@BOTH
def test_ctrl_c_lets_running_requests_end_and_leaves_no_process(processes, tmp_path):
    with Colony(str(tmp_path / "data"), processes) as c:
        c.apply(echo_app(replicas=2))
        assert c.echo()[0] == 200
        pids = c.all_pids()
        c.stop()
        assert not [p for p in pids if alive(p)]
    with Colony(str(tmp_path / "data"), processes) as again:
        again.wait_running("echo")
