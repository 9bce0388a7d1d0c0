"""Log lines as `submit` prints its own: on standard error, laid out as Spark's."""

import sys
import time

_said = set()


def line(level, component, text):
    """Prints one line."""
    now = time.strftime("%y/%m/%d %H:%M:%S")
    print(f"{now} {level} {component}: {text}", file=sys.stderr, flush=True)


def warn_once(subject, text):
    """A warning of `submit`, of which one about its subject is enough for a program."""
    if subject not in _said:
        _said.add(subject)
        line("WARN", "Submit", text)
