"""A server on this machine that speaks the providers' protocols, with faults, limits and counters. Needs only the standard library."""

from tests.loopback.batches import Desk
from tests.loopback.faults import FAULTS, Fault
from tests.loopback.server import Call, Loopback

__all__ = ["FAULTS", "Call", "Desk", "Fault", "Loopback"]
