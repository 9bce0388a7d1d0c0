"""Tells a program which of its settings come too late: `submit` has the master and has asked for executors by then."""

import re

from pyrite_shim import log

#: What executors are asked for by, and the flag of `submit` that says it.
_FLAGS = {
    "spark.executor.instances": "--executors",
    "spark.executor.cores": "--executor-cores",
    "spark.executor.memory": "--executor-memory",
    "spark.cores.max": "--total-executor-cores",
}
#: What `submit` asks for where nothing is said.
_DEFAULTS = {"spark.executor.memory": "1g"}
_DRIVER_MEMORY = "spark.driver.memory"
_MEBIBYTES = {"k": 1 / 1024, "m": 1, "g": 1024, "t": 1024**2, "p": 1024**3}

#: What `submit` said, by name: once a program's own values are set, its session tells those.
_said_by_submit = {}


def _is_local(master):
    return master.startswith("local")


def _canonical_master(master):
    """Equal for the ways to write one master."""
    text = master.strip().lower()
    if text == "local":
        return "local[1]"
    if _is_local(text):
        # Spark's count of task failures, `local[N, F]`, is nothing to run on.
        return re.sub(r"\s*,.*]", "]", text.replace(" ", ""))
    for scheme in ("spark://", "pyrite://"):
        if text.startswith(scheme):
            hosts = text[len(scheme):].split(",")
            return sorted(re.sub(r"^(localhost|\[::1])(?=:|$)", "127.0.0.1", host.strip()) for host in hosts)
    return text


def check_master(session, master):
    """Warns of a master in the program that is another than the one it runs on."""
    given = session.conf.get("spark.master", "")
    if _canonical_master(master) != _canonical_master(given):
        log.warn_once(
            "master",
            f"the program's master `{master}` is not used: submit runs it on `{given}`; "
            "to choose another, pass --master to submit",
        )


def check_remote(remote, given):
    """Warns of another Spark Connect server in the program."""
    # The rest of the address may hold a token.
    address, used = (url.split(";")[0].rstrip("/") for url in (remote, given))
    if address != used:
        log.warn_once(
            "remote",
            f"the program's Spark Connect server `{address}` is not used: submit has started one for it",
        )


def _amount(value):
    """Equal for the ways to write one number, or one size; a plain size is in mebibytes, as Spark's."""
    text = str(value).strip().lower()
    size = re.fullmatch(r"(\d+)([kmgtp]?)b?", text)
    return int(size[1]) * _MEBIBYTES[size[2] or "m"] if size else text


def check_executors(session, options):
    """Warns of what the program asks for and `submit` did not; to be called before the options are set."""
    asked = {name: options[name] for name in (*_FLAGS, _DRIVER_MEMORY) if options.get(name) is not None}
    if not asked:
        return
    for name in ("spark.master", *_FLAGS, _DRIVER_MEMORY):
        if name not in _said_by_submit:
            _said_by_submit[name] = session.conf.get(name, None) or _DEFAULTS.get(name)
    if _is_local(_said_by_submit["spark.master"] or "local"):
        # There, executors have what the process has, as in Spark.
        return
    late = [
        f"`{name}` = `{value}` (pass `{_FLAGS[name]} {value}` to submit)"
        for name, value in asked.items()
        if name in _FLAGS and (_said_by_submit[name] is None or _amount(_said_by_submit[name]) != _amount(value))
    ]
    if late:
        log.warn_once(
            ("executors", *late),
            "executors were asked for before the program ran, without its " + ", ".join(late),
        )
    if asked.get(_DRIVER_MEMORY) not in (None, _said_by_submit[_DRIVER_MEMORY]):
        log.warn_once(
            _DRIVER_MEMORY,
            f"`{_DRIVER_MEMORY}` = `{asked[_DRIVER_MEMORY]}` has no effect, nor has --driver-memory: there is no JVM",
        )
