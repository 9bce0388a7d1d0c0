"""The entry of DStreams."""


class StreamingContext:
    """Refused: DStreams are made of RDDs."""

    def __init__(self, *args, **kwargs):
        self._refuse()

    @classmethod
    def _refuse(cls, *args, **kwargs):
        from pyspark.errors import PySparkNotImplementedError

        raise PySparkNotImplementedError(
            "[NOT_IMPLEMENTED] StreamingContext is not supported by Pyrite: DStreams need RDDs and a JVM. "
            "Use Structured Streaming instead: `spark.readStream` and `writeStream`."
        )

    getOrCreate = getActive = getActiveOrCreate = _refuse
