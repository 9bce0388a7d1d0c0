"""What would be added to a `StreamingContext`."""


class StreamingListener:
    """Nothing calls it."""
