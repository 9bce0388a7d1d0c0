"""`SQLContext`, the entry of Spark 1: all that it does is done by its session."""

import warnings


def _init(self, sparkContext, sparkSession=None, jsqlContext=None):
    if sparkSession is None:
        instead = "Deprecated in 3.0.0. Use SparkSession.builder.getOrCreate() instead."
        warnings.warn(instead, FutureWarning, stacklevel=2)
    self._sc = sparkContext
    self.sparkSession = sparkContext._session if sparkSession is None else sparkSession
    type(self)._instantiatedContext = self


def _get_or_create(cls, sc, **static_conf):
    context = cls._instantiatedContext
    if context is None or context.sparkSession.is_stopped:
        context = cls(sc, sc._session)
    return context


def _tables(self, dbName=None):
    return self.sparkSession.sql("show tables" if dbName is None else f"show tables in `{dbName}`")


def _table_names(self, dbName=None):
    return [row.tableName for row in self.tables(dbName).collect()]


def _of_session(name):
    return property(lambda self: getattr(self.sparkSession, name))


def _of_catalog(name):
    return lambda self, *args: getattr(self.sparkSession.catalog, name)(*args)


def patch(module):
    """`pyspark.sql.context`: where a JVM would do it, the session does."""
    context = module.SQLContext
    context.__init__ = _init
    context._get_or_create = classmethod(_get_or_create)
    context.tables, context.tableNames = _tables, _table_names
    for name in ("read", "readStream", "streams"):
        setattr(context, name, _of_session(name))
    for name in ("cacheTable", "uncacheTable", "clearCache"):
        setattr(context, name, _of_catalog(name))
    module.HiveContext.refreshTable = _of_catalog("refreshTable")
