"""Lent as `findspark` where it is not installed: the client is on the path already."""


def init(spark_home=None, python_path=None, edit_rc=False, edit_profile=False):
    """Does nothing."""


def find():
    """Where PySpark is."""
    import os

    import pyspark

    return os.path.dirname(pyspark.__file__)


def add_packages(packages):
    """Does nothing: what programs add this way is built in, or is not there."""


def add_jars(jars):
    """Does nothing."""
