"""In place of `pyspark.streaming`: old scripts import it, and may not use it."""

from pyspark.streaming.context import StreamingContext
from pyspark.streaming.dstream import DStream
from pyspark.streaming.listener import StreamingListener

__all__ = ["StreamingContext", "DStream", "StreamingListener"]
