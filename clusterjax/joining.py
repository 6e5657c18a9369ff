"""How the hosts of one program meet: by flags, by the environment, or by what jax finds (TPU pods, Slurm, Open MPI)."""

import os
import socket
import time

import jax

from clusterjax.errors import InputError

_ENVIRONMENT = {
    "coordinator": "CLUSTERJAX_COORDINATOR",
    "num_hosts": "CLUSTERJAX_NUM_HOSTS",
    "host_index": "CLUSTERJAX_HOST_INDEX",
}
# After clusterjax.watching has had its chance to say the same in one line; hosts go to their end together.
_HEARTBEAT_TIMEOUT_S, _SHUTDOWN_TIMEOUT_S = 50, 60
_PATIENT = "--xla_cpu_collective_timeout_seconds=3600 --xla_cpu_collective_call_terminate_timeout_seconds=3600"


def find_hosts(coordinator: str | None, num_hosts: int | None, host_index: int | None) -> tuple[str, int, int] | None:
    """The three as given, else from CLUSTERJAX_COORDINATOR, _NUM_HOSTS and _HOST_INDEX; None where there are none.

    Raises InputError where a part is missing or makes no sense.
    """
    given = {"coordinator": coordinator, "num_hosts": num_hosts, "host_index": host_index}
    for name, variable in _ENVIRONMENT.items():
        if given[name] is None and os.environ.get(variable):
            given[name] = os.environ[variable]
    missing = [f"--{name} (or {_ENVIRONMENT[name]})" for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return None
    if missing:
        raise InputError(f"--coordinator, --num_hosts and --host_index go together; missing: {', '.join(missing)}")
    host, _, port = str(given["coordinator"]).rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"--coordinator={given['coordinator']} is no HOST:PORT, as in node0:8476")
    numbers = []
    for name in ("num_hosts", "host_index"):
        try:
            numbers.append(int(given[name]))
        except ValueError:
            raise InputError(f"--{name}={given[name]} is no whole number") from None
    if not 0 <= numbers[1] < numbers[0]:
        raise InputError(f"--host_index={numbers[1]} is not in 0 to {numbers[0] - 1}, of --num_hosts={numbers[0]}")
    return str(given["coordinator"]), numbers[0], numbers[1]


def initialise_distributed(
    coordinator: str | None = None,
    num_hosts: int | None = None,
    host_index: int | None = None,
    *,
    timeout_s: int = 300,
) -> None:
    """Join the other hosts. Call once, before anything touches a device.

    By the arguments, else by the environment (:func:`find_hosts`), else by what jax finds: TPU pods, Slurm, Open MPI.
    Raises InputError where a part is missing, nothing is found, or the hosts do not meet within ``timeout_s`` seconds.
    """
    hosts = find_hosts(coordinator, num_hosts, host_index)
    if os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        # Else a host whose compilation takes half a minute longer than another's ends both; XLA reads it at its start.
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_PATIENT}".strip()
    jax.config.update("jax_enable_preemption_service", False)  # or it takes SIGTERM from the training loop
    parts: dict = {}
    if hosts is not None:
        if hosts[2] != 0:
            _wait_for(hosts[0], timeout_s)
        parts = {"coordinator_address": hosts[0], "num_processes": hosts[1], "process_id": hosts[2]}
        parts["cluster_detection_method"] = "deactivate"
    try:
        jax.distributed.initialize(
            **parts,
            initialization_timeout=timeout_s,
            heartbeat_timeout_seconds=_HEARTBEAT_TIMEOUT_S,
            shutdown_timeout_seconds=_SHUTDOWN_TIMEOUT_S,
        )
    except ValueError as error:
        raise InputError(
            "--distributed finds neither a TPU pod, Slurm nor Open MPI here; "
            "give --coordinator=HOST:PORT --num_hosts=N --host_index=I"
        ) from error
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise InputError(f"the hosts did not meet ({reason}); start the same command on each of them") from error


def _wait_for(coordinator: str, timeout_s: int) -> None:
    """Until something answers there: jax's own wait ends the program without an exception."""
    host, _, port = coordinator.rpartition(":")
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() >= deadline:
                raise InputError(
                    f"the coordinator {coordinator} does not answer after {timeout_s} s ({error}); "
                    "is host 0 started, and its port open?"
                ) from error
            time.sleep(min(1.0, max(0.05, timeout_s / 10)))
