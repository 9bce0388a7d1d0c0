"""Lets a PySpark program written for a JVM cluster run on Spark Connect without an edit.

Modules are patched when the program imports them, so a program that never does pays nothing.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys

from pyrite_shim import patches

__all__ = ["install"]

_HERE = os.path.dirname(os.path.abspath(__file__))


class _PatchingLoader(importlib.abc.Loader):
    """Runs a module as its own loader would, then patches it."""

    def __init__(self, loader, patch):
        self._loader = loader
        self._patch = patch

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        self._patch(module)

    def __getattr__(self, name):
        # Resources, source text and the like are the own loader's.
        return getattr(self._loader, name)


class _PatchingFinder(importlib.abc.MetaPathFinder):
    """Finds the modules that are patched, and lends the missing ones."""

    def __init__(self):
        self._searching = set()

    def find_spec(self, name, path=None, target=None):
        patch = patches.PATCHES.get(name)
        if patch is None or name in self._searching:
            return None
        self._searching.add(name)
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return None
        finally:
            self._searching.discard(name)
        if spec is None or spec.loader is None:
            return None
        spec.loader = _PatchingLoader(spec.loader, patch)
        return spec


class _DStreamsFinder(importlib.abc.MetaPathFinder):
    """Puts a refusal in the place of `pyspark.streaming`, which needs a JVM to be imported already."""

    def find_spec(self, name, path=None, target=None):
        if name != "pyspark.streaming":
            return None
        folder = os.path.join(_HERE, "dstreams")
        initial = os.path.join(folder, "__init__.py")
        return importlib.util.spec_from_file_location(name, initial, submodule_search_locations=[folder])


class _LendingFinder(importlib.abc.MetaPathFinder):
    """Stands last: what programs import for a JVM cluster's sake, where it is not installed."""

    def find_spec(self, name, path=None, target=None):
        # What is in a lent package is found by the package's own path.
        return importlib.machinery.PathFinder.find_spec(name, [os.path.join(_HERE, "lent")]) if path is None else None


def install():
    """Puts the finders in place. A second call does nothing."""
    if any(isinstance(finder, _PatchingFinder) for finder in sys.meta_path):
        return
    # With it set, the client refuses any session beside a remote address.
    os.environ.pop("MASTER", None)
    sys.meta_path[:0] = [_PatchingFinder(), _DStreamsFinder()]
    sys.meta_path.append(_LendingFinder())
