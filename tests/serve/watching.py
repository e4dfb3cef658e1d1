"""What tests see of a server from outside: its metrics, and whether something has come about."""

import re
import time

import httpx


def metric(running, name, **labels):
    """The value of a metric; None if it is not there."""
    for line in httpx.get(f"http://{running.http}/metrics").text.splitlines():
        found = re.fullmatch(rf"{name}\{{(.*)\}} (\S+)", line)
        if found and all(f'{key}="{value}"' in found[1] for key, value in labels.items()):
            return float(found[2])
    return None


def until(condition, seconds=10):
    """Wait for it; fails if that takes longer."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def until_waiting(running, model, count, seconds=10):
    """Wait until so many requests for a model wait."""
    until(lambda: metric(running, "nv_inference_pending_request_count", model=model) == count, seconds)
