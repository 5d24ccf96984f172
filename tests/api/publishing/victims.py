"""Processes that kill themselves, as `kill -9` would, at a numbered step of what they do."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from prover.files import Step


def killed_at(number: int, act: Callable[[Step], None]) -> bool:
    """Forks a process that does `act`, and dies at its step of this number, from 1; whether it came that far."""
    child = os.fork()
    if child == 0:
        steps = 0

        def step(_name: str) -> None:
            nonlocal steps
            steps += 1
            if steps == number:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            act(step)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "the victim failed before it was killed"
    return False


class Failing:
    """A step that fails as a full disk does, at a numbered step, once."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, name: str) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(28, "No space left on device", name)
