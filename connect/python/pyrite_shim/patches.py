"""What is changed in PySpark, by module."""

import os
import sys
import types

DROPPED = ("spark.master", "spark.remote")


def _without_master(options):
    return {key: value for key, value in options.items() if key not in DROPPED}


def _patch_builder(builder):
    """Keeps `.master(...)` and `spark.master` out: the address is the one that `submit` gave. Takes a SparkConf as well."""
    config = builder.config

    def patched_config(self, key=None, value=None, conf=None, *, map=None):
        if conf is not None:
            for name, setting in _without_master(dict(conf.getAll())).items():
                config(self, name, setting)
            return self
        if map is not None:
            # The address itself comes this way, from the plain builder to the remote one.
            kept = {name: setting for name, setting in map.items() if name != "spark.master"}
            return config(self, map=kept) if kept else self
        if key in DROPPED:
            return self
        return config(self, key, value)

    patched_config.__doc__ = config.__doc__
    builder.config = patched_config
    builder.master = lambda self, master: self


def _patch_session(module):
    """`pyspark.sql.session`: the session that programs import."""
    session = module.SparkSession
    _patch_builder(session.Builder)
    plain_new = session.__new__

    def new(cls, *args, **kwargs):
        from pyrite_shim.context import SparkContext

        context = args[0] if args else kwargs.get("sparkContext")
        if isinstance(context, SparkContext):
            return context._session
        return plain_new(cls)

    session.__new__ = new


def _patch_connect_session(module):
    """`pyspark.sql.connect.session`: the session that programs get."""
    session = module.SparkSession
    _patch_builder(session.Builder)

    def context_of(self):
        from pyrite_shim.context import SparkContext

        return SparkContext._of_session(self)

    session.sparkContext = property(context_of)
    session._sc = property(context_of)
    session.newSession = _new_session
    session._jvm = property(lambda self: context_of(self)._jvm)
    session._jsc = property(lambda self: context_of(self)._jsc)


def _new_session(self):
    """A session of its own settings and views, on the same server."""
    return type(self)(connection=os.environ["SPARK_REMOTE"])


def _patch_pyspark(module):
    """`pyspark`: the context, which the client alone lacks and which would start a JVM otherwise."""
    from pyrite_shim.context import SparkContext, SparkFiles

    module.SparkContext = SparkContext
    module.SparkFiles = SparkFiles
    files = types.ModuleType("pyspark.files", "The files of a Pyrite application.")
    files.SparkFiles = SparkFiles
    sys.modules["pyspark.files"] = module.files = files
    alias = types.ModuleType("pyspark.context", "The context of a Pyrite application.")
    alias.SparkContext = SparkContext
    sys.modules["pyspark.context"] = alias
    module.context = alias


#: Runs after the module of this name has been loaded.
PATCHES = {
    "pyspark": _patch_pyspark,
    "pyspark.sql.session": _patch_session,
    "pyspark.sql.connect.session": _patch_connect_session,
}

#: Modules that programs import for a JVM cluster's sake; loaded from here only where they are not installed.
LENT = {"findspark": "pyrite_shim.findspark"}
