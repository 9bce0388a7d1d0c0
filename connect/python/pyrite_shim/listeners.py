"""Lets a program with a `StreamingQueryListener` end when its last line is done, its listeners told what had happened.

The client hears events in a thread that would keep the program alive for ever, so it becomes a daemon; at the end of
the program, or of its session, the server is asked to close the stream, and the thread gets time to hear it out.
"""

import atexit
import threading
import weakref
from concurrent.futures import Future

#: How long listeners may take at the end for what they were not told yet.
_LAST_EVENTS_SECONDS = 5

_open = weakref.WeakSet()


class _DaemonThread(threading.Thread):
    """A thread that the program's end does not wait for."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, daemon=True, **kwargs)


def _until_closed(bus, events):
    """The events of the server; an error after the bus was closed is no news."""
    try:
        yield from events
    except Exception:
        if "_pyrite_closed" not in bus.__dict__:
            raise


def _ask_to_close(module, bus):
    command = module.pb2.Command()
    command.streaming_query_listener_bus_command.remove_listener_bus_listener = True
    bus._sqm._session.client.execute_command(command)


def _close(module, bus, seconds):
    """Ends the bus once its listeners know what had happened, or when the time is up."""
    thread = bus._execution_thread
    if thread is None:
        return
    bus._pyrite_closed = True
    try:
        _ask_to_close(module, bus)
    except Exception:
        # Without the server there are no events either.
        seconds = 0
    # A listener may do this itself. Nor is the bus's lock held: the thread takes it for each event.
    if thread is not threading.current_thread():
        thread.join(seconds)
    bus._execution_thread = None
    bus._listener_bus.clear()


def patch_query(module):
    """`pyspark.sql.connect.streaming.query`: the bus, in the clients that have one."""
    bus_class = getattr(module, "StreamingQueryListenerBus", None)
    if bus_class is None:
        return
    module.Thread = _DaemonThread
    plain_append, plain_remove, plain_handler = bus_class.append, bus_class.remove, bus_class._query_event_handler

    def append(self, listener):
        if not self._listener_bus:
            self.__dict__.pop("_pyrite_closed", None)
        plain_append(self, listener)
        _open.add(self)

    def remove(self, listener):
        if self._listener_bus == [listener]:
            _close(module, self, None)
        else:
            plain_remove(self, listener)

    def handler(self, iter):
        plain_handler(self, _until_closed(self, iter))

    bus_class.append, bus_class.remove, bus_class._query_event_handler = append, remove, handler
    # After the program's own threads have ended.
    atexit.register(lambda: [_close(module, bus, _LAST_EVENTS_SECONDS) for bus in list(_open)])
    bus_class._pyrite_close = lambda self: _close(module, self, _LAST_EVENTS_SECONDS)


def close_those_of(session):
    """Ends the bus of a session that stops."""
    manager = session.__dict__.get("_sqm")
    close = getattr(getattr(manager, "_sqlb", None), "_pyrite_close", None)
    if close is not None:
        close()


class _LastingPool:
    """A pool that does the work itself where it takes no more, which is when the program's main thread has ended."""

    def __init__(self, pool):
        self._pool = pool

    def submit(self, work):
        try:
            return self._pool.submit(work)
        except RuntimeError:
            done = Future()
            done.set_result(work())
            return done


def patch_reattach(module):
    """`pyspark.sql.connect.client.reattach`: responses are still read, and released, after the main thread's end."""
    iterator = module.ExecutePlanResponseReattachableIterator
    plain = iterator.__dict__.get("_release_thread_pool")
    if isinstance(plain, property):
        iterator._release_thread_pool = property(lambda self: _LastingPool(plain.fget(self)))
