"""The part of `SparkContext` that streaming programs touch, over a Spark Connect session."""

import os
import sys
import threading
import time

from pyrite_shim import jvm

_LEVELS = ("ALL", "DEBUG", "ERROR", "FATAL", "INFO", "OFF", "TRACE", "WARN")


def _not_here(name):
    from pyspark.errors import PySparkNotImplementedError

    # The base class takes a message as it is, whatever the client's version knows of error classes.
    return PySparkNotImplementedError(
        f"[NOT_IMPLEMENTED] SparkContext.{name} is not supported by Pyrite: there are no RDDs and no JVM. "
        "Use the DataFrame API instead."
    )


def _running_session():
    from pyspark.sql.connect.session import SparkSession

    context = SparkContext._active_spark_context
    if context is not None and not context._session.is_stopped:
        return context._session
    session = SparkSession.getActiveSession() or SparkSession._default_session
    return None if session is None or session.is_stopped else session


def _refuse_a_second():
    """As Spark, in its words."""
    session = _running_session()
    if session is None:
        return
    context = SparkContext._of_session(session)
    made = session.__dict__.get("_pyrite_call_site", (None, None, None))
    raise ValueError(
        "Cannot run multiple SparkContexts at once; existing SparkContext(app=%s, master=%s) created by %s at %s:%s "
        % (context.appName, context.master, *made)
    )


def call_site():
    """The method of ours that the program has called, and where: its name, a file and a line."""
    frame, name = sys._getframe(1), None
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("pyspark", "pyrite_shim"):
        frame, name = frame.f_back, frame.f_code.co_name
    return (name, None, None) if frame is None else (name, frame.f_code.co_filename, frame.f_lineno)


class SparkFiles:
    """Finds the files of `--files` and `SparkContext.addFile`, which `submit` lays out in one directory."""

    @classmethod
    def get(cls, filename):
        return os.path.join(cls.getRootDirectory(), filename)

    @classmethod
    def getRootDirectory(cls):
        return os.environ.get("PYRITE_FILES") or os.getcwd()


class SparkContext:
    """Made by `spark.sparkContext`, or by programs that begin with `SparkContext(...)`."""

    PACKAGE_EXTENSIONS = (".zip", ".egg", ".jar")
    _lock = threading.RLock()
    _active_spark_context = None

    def __init__(self, master=None, appName=None, sparkHome=None, pyFiles=None, environment=None, batchSize=0,
                 serializer=None, conf=None, gateway=None, jsc=None, profiler_cls=None, udf_profiler_cls=None,
                 memory_profiler_cls=None):
        from pyspark.sql import SparkSession

        with SparkContext._lock:
            _refuse_a_second()
            builder = SparkSession.builder
            if conf is not None:
                builder = builder.config(conf=conf)
            if master:
                builder = builder.master(master)
            if appName:
                builder = builder.appName(appName)
            self._attach(builder.getOrCreate())

    def _attach(self, session):
        self._session = session
        self._started = int(time.time() * 1000)
        self._properties = {}
        session.__dict__["_pyrite_context"] = self
        SparkContext._active_spark_context = self

    @classmethod
    def _of_session(cls, session):
        context = session.__dict__.get("_pyrite_context")
        if context is None:
            context = cls.__new__(cls)
            context._attach(session)
        return context

    @classmethod
    def getOrCreate(cls, conf=None):
        with cls._lock:
            session = _running_session()
            return cls(conf=conf) if session is None else cls._of_session(session)

    def _setting(self, key, default=None):
        return self._session.conf.get(key, default)

    def _set_silently(self, key, value):
        self._session.conf._set_all({key: value}, silent=True)

    @property
    def appName(self):
        return self._setting("spark.app.name", "pyrite")

    @property
    def applicationId(self):
        return self._setting("spark.app.id", "")

    @property
    def master(self):
        return self._setting("spark.master", "")

    @property
    def uiWebUrl(self):
        return self._setting("spark.pyrite.ui.url")

    @property
    def version(self):
        return self._session.version

    @property
    def pythonVer(self):
        return "%d.%d" % sys.version_info[:2]

    @property
    def startTime(self):
        return int(self._setting("spark.app.startTime", str(self._started)))

    @property
    def defaultParallelism(self):
        return int(self._setting("spark.default.parallelism", str(os.cpu_count() or 1)))

    @property
    def defaultMinPartitions(self):
        return min(self.defaultParallelism, 2)

    @property
    def resources(self):
        return {}

    def sparkUser(self):
        import getpass

        return getpass.getuser()

    def getConf(self):
        from pyspark import SparkConf

        conf = SparkConf()
        for key, value in self._session.conf.getAll.items():
            conf.set(key, value)
        return conf

    def setLogLevel(self, logLevel):
        level = str(logLevel).upper()
        if level not in _LEVELS:
            from pyspark.errors import IllegalArgumentException

            raise IllegalArgumentException(
                f"requirement failed: Supplied level {logLevel} did not match one of: {','.join(_LEVELS)}"
            )
        jvm.set_root_level(level)
        self._session.conf.set("spark.pyrite.log.level", level)

    def setCheckpointDir(self, dirName):
        """Ignored: it is for RDDs. A query's checkpoint is its option `checkpointLocation`."""

    def getCheckpointDir(self):
        return None

    def setSystemProperty(self, key, value):
        """Ignored: there is no JVM whose property it would be."""

    def setLocalProperty(self, key, value):
        self._properties[key] = value

    def getLocalProperty(self, key):
        return self._properties.get(key)

    def setJobGroup(self, groupId, description, interruptOnCancel=False):
        self._properties["spark.jobGroup.id"] = groupId
        self._properties["spark.job.description"] = description

    def setJobDescription(self, value):
        self._properties["spark.job.description"] = value

    def setInterruptOnCancel(self, interruptOnCancel):
        """Ignored: queries are stopped by `query.stop()`."""

    def addJobTag(self, tag):
        self._session.addTag(tag)

    def removeJobTag(self, tag):
        self._session.removeTag(tag)

    def getJobTags(self):
        return self._session.getTags()

    def clearJobTags(self):
        self._session.clearTags()

    def cancelAllJobs(self):
        self._session.interruptAll()

    def addPyFile(self, path):
        """Makes the module importable in the program; no other Python runs."""
        sys.path.insert(0, path if path.endswith(self.PACKAGE_EXTENSIONS) else os.path.dirname(os.path.abspath(path)))

    def addFile(self, path, recursive=False):
        """The program finds the file by `SparkFiles.get`; no other machine needs it."""
        place = SparkFiles.get(os.path.basename(path))
        if not os.path.lexists(place):
            os.symlink(os.path.abspath(path), place)

    def stop(self):
        if SparkContext._active_spark_context is self:
            SparkContext._active_spark_context = None
        self._session.stop()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.stop()

    def __repr__(self):
        return f"<SparkContext master={self.master} appName={self.appName}>"

    @property
    def _conf(self):
        return self.getConf()

    @property
    def _jvm(self):
        return jvm.JVM

    @property
    def _jsc(self):
        return jvm.JavaContext(self)

    def __getattr__(self, name):
        raise AttributeError(f"SparkContext.{name} is not supported by Pyrite")


def _refused(name):
    def method(self, *args, **kwargs):
        raise _not_here(name)

    method.__name__ = name
    return method


for _name in ("accumulator", "binaryFiles", "binaryRecords", "broadcast", "emptyRDD", "hadoopFile", "hadoopRDD",
              "newAPIHadoopFile", "newAPIHadoopRDD", "parallelize", "pickleFile", "range", "runJob", "sequenceFile",
              "textFile", "union", "wholeTextFiles"):
    setattr(SparkContext, _name, _refused(_name))
