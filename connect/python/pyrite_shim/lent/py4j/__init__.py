"""Lent as `py4j` where it is not installed: programs import its exceptions to catch what a JVM would raise."""
