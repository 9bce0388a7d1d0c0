"""What is changed in PySpark, by module."""

import os
import sys
import types

from pyrite_shim import listeners, refusals, sql_context, submitted

DROPPED = ("spark.master", "spark.remote")


def _patch_builder(builder):
    """Keeps `.master(...)` and `spark.master` out: the address is that of `submit`. Takes a SparkConf as well."""
    config, get_or_create = builder.config, builder.getOrCreate

    def without_address(self, options):
        dropped = self.__dict__.setdefault("_pyrite_dropped", {})
        dropped.update((key, str(options[key])) for key in DROPPED if options.get(key))
        return {key: value for key, value in options.items() if key not in DROPPED}

    def patched_config(self, key=None, value=None, conf=None, *, map=None):
        if conf is not None:
            for name, setting in without_address(self, dict(conf.getAll())).items():
                config(self, name, setting)
            return self
        if map is not None:
            kept = without_address(self, map)
            # The address itself comes this way, from the plain builder to the remote one.
            if "spark.remote" in map:
                kept["spark.remote"] = os.environ.get("SPARK_REMOTE", map["spark.remote"])
            return config(self, map=kept) if kept else self
        return config(self, key, value) if without_address(self, {key: value}) else self

    def getOrCreate(self):
        from pyrite_shim.context import call_site

        session = get_or_create(self)
        session.__dict__.setdefault("_pyrite_call_site", call_site())
        dropped = self.__dict__.pop("_pyrite_dropped", {})
        if "spark.master" in dropped:
            submitted.check_master(session, dropped["spark.master"])
        if "spark.remote" in dropped:
            submitted.check_remote(dropped["spark.remote"], os.environ.get("SPARK_REMOTE", dropped["spark.remote"]))
        return session

    patched_config.__doc__, getOrCreate.__doc__ = config.__doc__, get_or_create.__doc__
    builder.config, builder.getOrCreate = patched_config, getOrCreate
    builder.master = lambda self, master: self.config("spark.master", master)


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
    plain_apply, plain_stop = session.Builder._apply_options, session.stop

    def apply_options(self, session):
        submitted.check_executors(session, self._options)
        plain_apply(self, session)

    def stop(self):
        listeners.close_those_of(self)
        plain_stop(self)

    stop.__doc__ = plain_stop.__doc__
    session.Builder._apply_options, session.stop = apply_options, stop

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
    from pyspark.sql import HiveContext, SQLContext

    # Where the client stands alone, it lacks these names.
    module.SQLContext, module.HiveContext = SQLContext, HiveContext


#: Runs after the module of this name has been loaded.
PATCHES = {
    "pyspark": _patch_pyspark,
    "pyspark.errors.error_classes": refusals.patch_error_classes,
    "pyspark.sql.connect.client.reattach": listeners.patch_reattach,
    "pyspark.sql.connect.dataframe": refusals.patch_dataframe,
    "pyspark.sql.connect.session": _patch_connect_session,
    "pyspark.sql.connect.streaming.query": listeners.patch_query,
    "pyspark.sql.connect.streaming.readwriter": refusals.patch_stream_writer,
    "pyspark.sql.context": sql_context.patch,
    "pyspark.sql.session": _patch_session,
}
