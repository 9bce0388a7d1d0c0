"""The few Java classes that programs reach through `spark._jvm`: loggers, and `System`."""

import time

from pyrite_shim import log

_ORDER = {"ALL": 0, "TRACE": 1, "DEBUG": 2, "INFO": 3, "WARN": 4, "ERROR": 5, "FATAL": 6, "OFF": 7}
_root_level = "INFO"


def set_root_level(level):
    """What loggers without a level of their own print from."""
    global _root_level
    _root_level = level


class Level:
    """A log level; equal by name, as log4j's constants."""

    def __init__(self, name):
        self._name = name

    def toString(self):
        return self._name

    def name(self):
        return self._name

    def __str__(self):
        return self._name

    def __eq__(self, other):
        return str(self) == str(other)

    def __hash__(self):
        return hash(self._name)


class Levels:
    """`Level.WARN`, `Level.toLevel("WARN")`."""

    def toLevel(self, name, default=None):
        text = str(name).upper()
        return Level(text if text in _ORDER else str(default or "DEBUG"))

    valueOf = toLevel
    getLevel = toLevel

    def __getattr__(self, name):
        if name in _ORDER:
            return Level(name)
        raise AttributeError(name)


class Logger:
    """Prints to standard error, laid out as Spark's log."""

    def __init__(self, name):
        self._name = name
        self._level = None

    def getName(self):
        return self._name

    def setLevel(self, level):
        if self._name == "root":
            set_root_level(str(level))
        else:
            self._level = str(level)

    def getLevel(self):
        return Level(self._level or _root_level)

    def isEnabledFor(self, level):
        return _ORDER[str(level)] >= _ORDER[self._level or _root_level]

    def log(self, level, message, *arguments):
        if not self.isEnabledFor(level):
            return
        text = str(message)
        for argument in arguments:
            text = text.replace("{}", str(argument), 1) if "{}" in text else f"{text}: {argument}"
        log.line(level, self._name.rsplit(".", 1)[-1], text)

    def __getattr__(self, name):
        level = name.upper()
        if level in _ORDER:
            return lambda message, *arguments: self.log(level, message, *arguments)
        if name.startswith("is") and name.endswith("Enabled") and name[2:-7].upper() in _ORDER:
            return lambda: self.isEnabledFor(name[2:-7].upper())
        raise AttributeError(name)


class Loggers:
    """`LogManager`, `Logger` and `LoggerFactory`: all give loggers by name."""

    _by_name = {}

    def getLogger(self, name="root", *ignored):
        text = name if isinstance(name, str) else str(name)
        return self._by_name.setdefault(text, Logger(text))

    def getRootLogger(self):
        return self.getLogger("root")

    def shutdown(self):
        """Nothing is held open."""


class Configurator:
    """log4j 2's way to set levels."""

    def setLevel(self, name, level):
        Loggers().getLogger(name).setLevel(level)

    def setRootLevel(self, level):
        set_root_level(str(level))

    def setAllLevels(self, name, level):
        self.setLevel(name, level)


class System:
    """`java.lang.System`, as far as it makes sense without Java."""

    def currentTimeMillis(self):
        return int(time.time() * 1000)

    def nanoTime(self):
        return time.monotonic_ns()

    def getProperty(self, key, default=None):
        return default

    def setProperty(self, key, value):
        return None


_CLASSES = {
    "org.apache.log4j.LogManager": Loggers(),
    "org.apache.log4j.Logger": Loggers(),
    "org.apache.log4j.Level": Levels(),
    "org.apache.logging.log4j.LogManager": Loggers(),
    "org.apache.logging.log4j.Level": Levels(),
    "org.apache.logging.log4j.core.config.Configurator": Configurator(),
    "org.slf4j.LoggerFactory": Loggers(),
    "java.lang.System": System(),
    "System": System(),
}


class Package:
    """A Java package, or a class that is not there: reached by name, refused when used."""

    def __init__(self, path):
        self._path = path

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        path = f"{self._path}.{name}" if self._path else name
        return _CLASSES.get(path) or Package(path)

    def __call__(self, *args, **kwargs):
        from pyspark.errors import PySparkNotImplementedError

        raise PySparkNotImplementedError(
            f"[NOT_IMPLEMENTED] `{self._path}` of the JVM is not supported by Pyrite: there is no JVM."
        )

    def __repr__(self):
        return f"<JavaPackage {self._path}>"


JVM = Package("")


class HadoopConfiguration:
    """Keeps what a program sets as `spark.hadoop.*`."""

    def __init__(self, context):
        self._context = context

    def set(self, key, value):
        self._context._set_silently(f"spark.hadoop.{key}", str(value))

    def get(self, key, default=None):
        return self._context._setting(f"spark.hadoop.{key}", default)


class JavaContext:
    """`sparkContext._jsc`."""

    def __init__(self, context):
        self._context = context

    def hadoopConfiguration(self):
        return HadoopConfiguration(self._context)

    def sc(self):
        return self

    def applicationId(self):
        return self._context.applicationId

    def version(self):
        return self._context.version

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Package(f"JavaSparkContext.{name}")
