"""The oracle's cases, one file a family. Each file holds `cases = Family()` and adds to it."""

import importlib
import pkgutil


def families() -> dict:
    """Family name -> its cases, in the order of the files' names."""
    found = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda each: each.name):
        cases = importlib.import_module(f"{__name__}.{module.name}").cases.cases
        for case in cases:
            case.family = module.name
            if not case.name.startswith(module.name + "."):
                case.name = f"{module.name}.{case.name}"
        found[module.name] = cases
    return found


def all_cases() -> list:
    """All cases; two of the same name are a mistake."""
    cases = [case for family in families().values() for case in family]
    names = [case.name for case in cases]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise ValueError(f"cases of the same name: {sorted(doubled)}")
    return cases
