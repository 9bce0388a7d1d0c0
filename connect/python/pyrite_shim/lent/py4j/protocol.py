"""The exceptions of py4j. Nothing raises them: without a JVM, errors are those of `pyspark.errors`."""


class Py4JError(Exception):
    """As in py4j."""

    def __init__(self, args=None, cause=None):
        super().__init__(args)
        self.cause = cause


class Py4JNetworkError(Py4JError):
    """As in py4j."""


class Py4JAuthenticationError(Py4JNetworkError):
    """As in py4j."""


class Py4JJavaError(Py4JError):
    """As in py4j."""

    def __init__(self, msg=None, java_exception=None):
        super().__init__(msg)
        self.errmsg = msg
        self.java_exception = java_exception
