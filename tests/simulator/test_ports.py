"""Ports of processes that are killed and started again."""

from __future__ import annotations

import socket

import pytest

from fluxtrail.model.errors import ConfigError
from fluxtrail.simulator import ports
from fluxtrail.simulator.ports import LASTING_PORTS, choose_addresses


def test_each_listener_has_a_port_of_its_own_that_nobody_is_handed(monkeypatch: pytest.MonkeyPatch) -> None:
    [first] = choose_addresses(["127.0.0.1:0"])
    number = int(first.rpartition(":")[2])
    assert number in LASTING_PORTS
    monkeypatch.setattr(ports, "LASTING_PORTS", range(number - 5, number + 6))
    chosen = choose_addresses([":0", f"127.0.0.1:{number}", "127.0.0.1:0", ""])
    assert [address.rpartition(":")[0] for address in chosen] == ["127.0.0.1"] * 3 + [""]
    assert chosen[1] == f"127.0.0.1:{number}"
    assert len(set(chosen)) == 4


def test_port_that_is_taken_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    [address] = choose_addresses(["127.0.0.1:0"])
    number = int(address.rpartition(":")[2])
    monkeypatch.setattr(ports, "LASTING_PORTS", range(number, number + 1))
    with socket.create_server(("127.0.0.1", number)), pytest.raises(ConfigError, match="no port of 127.0.0.1 is free"):
        choose_addresses([address.replace(str(number), "0")])


def test_host_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match="192.0.2.1 cannot be served"):
        choose_addresses(["192.0.2.1:0"])
