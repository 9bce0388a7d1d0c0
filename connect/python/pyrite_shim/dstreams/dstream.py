"""What a `StreamingContext` would make."""


class DStream:
    """There is none."""
