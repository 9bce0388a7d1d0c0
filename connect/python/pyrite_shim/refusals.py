"""What cannot run here, refused in Pyrite's words before the client does it in its own."""


def _not_yet(what):
    from pyspark.errors.exceptions.connect import AnalysisException

    # As the server refuses it.
    return AnalysisException(
        f"[UNSUPPORTED_FEATURE] {what} is not supported by Pyrite yet SQLSTATE: 0A000",
        errorClass="UNSUPPORTED_FEATURE",
        messageParameters={},
        sql_state="0A000",
    )


def patch_stream_writer(module):
    """`pyspark.sql.connect.streaming.readwriter`: what cannot be pickled would fail for that before it is sent."""

    def foreachBatch(self, func):
        raise _not_yet("`foreachBatch`")

    def foreach(self, f):
        raise _not_yet("`foreach`")

    for method in (foreachBatch, foreach):
        method.__doc__ = getattr(module.DataStreamWriter, method.__name__).__doc__
        setattr(module.DataStreamWriter, method.__name__, method)


def patch_error_classes(module):
    """`pyspark.errors.error_classes`: the client's advice would be to do without Spark Connect."""
    condition = module.ERROR_CLASSES_MAP.get("JVM_ATTRIBUTE_NOT_SUPPORTED")
    if condition is not None:
        condition["message"] = [
            "`<attr_name>` is not supported by Pyrite: there are no RDDs and no JVM. Use the DataFrame API instead."
        ]


def patch_dataframe(module):
    """`pyspark.sql.connect.dataframe`: `rdd` is refused alike by the two packages that hold the client."""
    module.DataFrame.rdd = property(lambda self: self.__getattr__("rdd"))
