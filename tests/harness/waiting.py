"""Waiting for something to become true, instead of for time to pass."""

import threading
import time


def wait_until(condition, timeout, what, every=0.02):
    """Asks `condition` until it gives something true, and returns that. TimeoutError, naming `what`, after `timeout` s.

    An assertion or a call that fails is a "not yet"; the last one is shown when time is up.
    """
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        last = None
        try:
            result = condition()
            if result:
                return result
        except Exception as error:  # grpc.RpcError, OSError, AssertionError: whatever the question runs into
            last = error
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout} s for {what}") from last
        pause.wait(every)
