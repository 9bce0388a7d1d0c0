"""The names of py4j's gateway: importable, refused when used."""


class _Refused:
    def __init__(self, *args, **kwargs):
        from pyspark.errors import PySparkNotImplementedError

        raise PySparkNotImplementedError(
            f"[NOT_IMPLEMENTED] py4j's {type(self).__name__} is not supported by Pyrite: there is no JVM."
        )


class GatewayClient(_Refused):
    """As in py4j."""


class GatewayParameters(_Refused):
    """As in py4j."""


class JavaClass(_Refused):
    """As in py4j."""


class JavaGateway(_Refused):
    """As in py4j."""


class JavaObject(_Refused):
    """As in py4j; no object is one."""


class JVMView(_Refused):
    """As in py4j."""


def java_import(jvm_view, import_str):
    """Does nothing: `spark._jvm` refuses what is not there when it is used."""


def is_instance_of(gateway, java_object, java_class):
    """No object is one of a JVM."""
    return False
