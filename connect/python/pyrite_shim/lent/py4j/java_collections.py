"""The names of py4j's collections; no object is one."""


class JavaArray:
    """As in py4j."""


class JavaList:
    """As in py4j."""


class JavaMap:
    """As in py4j."""


class JavaSet:
    """As in py4j."""
