"""The processes that train together: where each is, and which of them this one is."""

import re
from dataclasses import dataclass
from typing import Any

# The leader's port for what is not tensors: so far above its port of tensors.
LINK_DISTANCE = 1000
MAX_PORT = 65535


def split_address(address: str) -> tuple[str, int]:
    """Host and port of an address.

    Args:
        address: "host:port"; an IPv6 host stands in brackets, "[::1]:2222".

    Returns:
        The host, without brackets, and the port.

    Raises:
        ValueError: there is no host, or no port in 1..65535; the message says what is allowed.
    """
    host, _, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    is_port = re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= MAX_PORT
    if not host or not is_port:
        raise ValueError(f"must be host:port, port 1..{MAX_PORT}, an IPv6 host in brackets")
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """The inverse of ``split_address``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True)
class WorkerGroup:
    """Several processes that train together, one a host as a rule; the first is the chief.

    Attributes:
        addresses: "host:port" of each worker's TensorFlow server, in rank order; IPv6 in brackets.
        index: rank of this process, 0 for the chief.
        source: where this comes from, for people: "TF_CONFIG", "Slurm", "Kubernetes".
        link_port: where the chief listens for what is not tensors; ``free_link_port`` chooses it.
    """

    addresses: tuple[str, ...]
    index: int
    source: str
    link_port: int

    @property
    def count(self) -> int:
        """Number of workers, the chief included."""
        return len(self.addresses)

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that speaks and writes."""
        return self.index == 0

    @property
    def names(self) -> tuple[str, ...]:
        """What to call each worker: its host, with the port where several share a host."""
        hosts = [split_address(address)[0] for address in self.addresses]
        return tuple(
            address if hosts.count(host) > 1 else host
            for host, address in zip(hosts, self.addresses, strict=True)
        )

    @property
    def name(self) -> str:
        """What to call this worker."""
        return self.names[self.index]

    @property
    def link_address(self) -> str:
        """Where the chief listens for what is not tensors, "host:port"."""
        return join_address(split_address(self.addresses[0])[0], self.link_port)

    def tf_config(self) -> dict[str, Any]:
        """The group as TensorFlow's ``TF_CONFIG``; its worker 0 is the chief."""
        return {
            "cluster": {"worker": list(self.addresses)},
            "task": {"type": "worker", "index": self.index},
        }


def free_link_port(addresses: tuple[str, ...]) -> int:
    """The chief's port for what is not tensors, the same on every worker.

    It is ``LINK_DISTANCE`` above the chief's own (below, where that is no port), or the next that
    no worker on the chief's host has.

    Args:
        addresses: as in ``WorkerGroup``.

    Returns:
        The port.
    """
    host, own = split_address(addresses[0])
    taken = {port for name, port in map(split_address, addresses) if name == host}
    port = own + LINK_DISTANCE if own + LINK_DISTANCE <= MAX_PORT else own - LINK_DISTANCE
    while port in taken:
        port = port + 1 if port < MAX_PORT else 1024
    return port
