"""One scrape of the control port shows every hop of a request, in the text format that Prometheus reads."""
import re

import pytest
from running import colony, echo_app, wait_until

BOTH = pytest.mark.parametrize("processes", [False, True], ids=["one-process", "processes"])
SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{([a-zA-Z_][a-zA-Z0-9_]*="(\\.|[^"\\])*",?)*\})? [-+0-9.eInfNa]+$')


HOPS = ("colony_http_request_duration_seconds", "colony_router_queue_duration_seconds",
        "colony_router_upstream_duration_seconds", "colony_replica_processing_duration_seconds")


def total(text, name, **labels):
    """Sum over the series of a family that carry these labels."""
    wanted = [f'{k}="{v}"' for k, v in labels.items()]
    lines = [x for x in text.splitlines() if x.startswith(name + "{") and all(w in x for w in wanted)]
    return sum(float(x.rsplit(" ", 1)[1]) for x in lines)


def scrape(c):
    status, text = c.call("GET", "/metrics")
    assert status == 200
    return text


@BOTH
def test_every_hop_has_its_histogram_and_the_counts_are_right(processes):
    with colony(processes) as c:
        c.apply(echo_app(replicas=2))
        for _ in range(7):
            assert c.echo()[0] == 200
        assert c.request("GET", "/nowhere")[0] == 404
        infer = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1]}]}'
        for _ in range(3):
            assert c.request("POST", "/v2/models/echo/infer", infer)[0] == 200

        def settled():
            """A scrape that knows the last request: a hop counts it when it ends there, a moment after its reply is read."""
            text = scrape(c)
            return text if all(total(text, hop + "_count", application="echo") >= 10 for hop in HOPS) else None

        text = wait_until(settled, "ten requests counted at every hop")
        for line in text.splitlines():
            assert line.startswith("#") or SAMPLE.match(line), line
        assert total(text, "colony_http_requests_total", application="echo", code="200") == 10
        assert total(text, "ray_serve_num_http_requests_total", application="echo", status_code="200") == 10
        for hop in HOPS:
            assert total(text, hop + "_count", application="echo") == 10, hop
            assert total(text, hop + "_bucket", application="echo", le="+Inf") == 10, hop
        heads = [x for x in text.splitlines() if x.startswith("# TYPE ")]
        assert len(heads) == len(set(heads)), "each family has one TYPE line"
