"""The table of malformed, smuggled and unusual HTTP/1.1 (http_cases.py) against a proxy with an echo replica behind it, and
against that replica's own socket."""

import pytest
from http_cases import CASES, allowed
from http_runner import run
from replica_process import Replica
from running import colony, echo_app

PATIENCE, QUIET = 30.0, 0.3


@pytest.fixture(scope="module")
def proxy():
    with colony() as running:
        running.apply({**echo_app(replicas=1, max_ongoing_requests=100), "route_prefix": "/"})
        yield running.http


@pytest.fixture(scope="module")
def replica():
    r = Replica({"name": "echo", "runtime": "echo", "max_ongoing_requests": 100}, "echo")
    yield r.address
    r.stop()


def wrong_answers(address, exactly):
    wrong = []
    for group, name, raw, outcomes, body in CASES:
        seen, got = run(address, raw, outcomes[0], PATIENCE, QUIET)
        # The replica echoes as the body comes: what turns out bad later can only be cut off, the reply having begun.
        cut = not exactly and seen == "closed" and "400 closed" in outcomes
        if exactly and seen != outcomes[0] or not (cut or allowed(outcomes, seen)):
            wrong.append(f"{group}: {name}: {seen}, not {outcomes[0] if exactly else outcomes}")
        elif body is not None and got != body and seen.startswith("200"):
            wrong.append(f"{group}: {name}: the body arrived as {got[:60]!r}")
    return wrong


def test_the_table_is_large():
    assert len(CASES) >= 300
    assert len({(group, name) for group, name, *_ in CASES}) == len(CASES), "names tell cases apart"
    assert not [name for _, name, _, outcomes, _ in CASES if not allowed(outcomes, outcomes[0])]


def test_the_proxy_answers_every_case_as_the_table_says(proxy):
    wrong = wrong_answers(proxy, exactly=True)
    assert not wrong, f"{len(wrong)} of {len(CASES)}:\n" + "\n".join(wrong)


def test_the_replica_answers_every_case_as_the_rfc_says(replica):
    wrong = wrong_answers(replica, exactly=False)
    assert not wrong, f"{len(wrong)} of {len(CASES)}:\n" + "\n".join(wrong)
