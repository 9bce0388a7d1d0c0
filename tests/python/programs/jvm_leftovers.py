"""What old scripts import and touch of the JVM: imports work, and what cannot work is refused in words that help."""

import threading

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.errors import AnalysisException, PySparkAttributeError, PySparkNotImplementedError
from pyspark.sql import Row, SparkSession, SQLContext
from pyspark.streaming import StreamingContext
from pyspark.streaming.context import StreamingContext as TheSame


def refusal(kind, work):
    """The text of the error that is raised."""
    try:
        result = work()
    except kind as error:
        return str(error)
    raise AssertionError(f"{kind.__name__} expected, got {result!r}")


context = SparkContext(conf=SparkConf().setAppName("leftovers"))
spark = SparkSession(context)

# The settings of the context.
assert context._conf.get("spark.app.name") == "leftovers", context._conf.get("spark.app.name")
assert ("spark.app.name", "leftovers") in context._conf.getAll()

# One context at a time.
text = refusal(ValueError, lambda: SparkContext("local[3]", "second"))
assert text.startswith("Cannot run multiple SparkContexts at once; existing SparkContext(app=leftovers, master="), text
assert f"created by __init__ at {__file__}:" in text, text
assert SparkContext.getOrCreate(SparkConf().setAppName("third")) is context and context.appName == "leftovers"

# DStreams and py4j.
assert issubclass(Py4JJavaError, Py4JError) and issubclass(Py4JError, Exception) and TheSame is StreamingContext
for entry in (lambda: StreamingContext(context, 5), lambda: StreamingContext.getOrCreate("here", None)):
    text = refusal(PySparkNotImplementedError, entry)
    assert "StreamingContext is not supported by Pyrite" in text and "spark.readStream" in text, text

# What would be an RDD or a JVM's.
numbers = spark.range(3)
for owner, name in ((numbers, "rdd"), (numbers, "_jdf"), (numbers.id, "_jc"), (spark, "_jsparkSession")):
    assert not hasattr(owner, name), name
    text = refusal(PySparkAttributeError, lambda: getattr(owner, name))
    assert f"`{name}` is not supported by Pyrite" in text and "Connect" not in text, text

# Spark 1's entry.
sql_context = SQLContext(context)
sql_context.registerDataFrameAsTable(numbers, "numbers")
assert sql_context.sql("select max(id) m from numbers").collect() == [Row(m=2)]
assert sql_context.table("numbers").count() == 3 and sql_context.tableNames() == ["numbers"]
assert sql_context.createDataFrame([(1,)], "a INT").collect() == [Row(a=1)]
assert SQLContext.getOrCreate(context) is sql_context and sql_context.sparkSession is spark

# Functions that would run on executors; these could not even be pickled.
lock = threading.Lock()
source = spark.readStream.format("kafka").option("kafka.bootstrap.servers", "127.0.0.1:1").option("subscribe", "t")
source = source.load()
for name in ("foreachBatch", "foreach"):
    text = refusal(AnalysisException, lambda: getattr(source.writeStream, name)(lambda *some: lock.acquire()).start())
    assert text == f"[UNSUPPORTED_FEATURE] `{name}` is not supported by Pyrite yet SQLSTATE: 0A000", text

context.stop()
again = SparkContext(appName="again")
assert again.appName == "again" and again is not context
again.stop()
