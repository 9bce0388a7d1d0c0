"""Starts Pyrite's shim in the Python that `submit` runs, after any `sitecustomize` that would have run without it."""

import importlib.machinery
import importlib.util
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def _run_the_other_one():
    # A program of `submit` may run `submit`, and each has a shim: one passes by those that have passed on to it.
    passed = sys.__dict__.setdefault("_pyrite_shims", [])
    passed.append(_HERE)
    paths = [path for path in sys.path if os.path.abspath(path or os.getcwd()) not in passed]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", paths)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


try:
    _run_the_other_one()
finally:
    if os.environ.get("PYRITE_SHIM") == "1":
        import pyrite_shim

        pyrite_shim.install()
