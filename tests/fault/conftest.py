"""What tests of faults share: a disc that is easily full, and a node on it."""

from tests.fault.small_disc import disc, full_node

__all__ = ["disc", "full_node"]
