# SPDX-License-Identifier: Apache-2.0
"""Waiting without guessing: look again until it is so, and give up at a deadline."""
import time


class Timeout(AssertionError):
    """What was waited for did not come in time."""


def until(what, condition, seconds=10.0, step=0.02):
    """The first true value of condition(); fails after `seconds`, naming `what`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise Timeout("not within %g s: %s" % (seconds, what))
        time.sleep(step)
