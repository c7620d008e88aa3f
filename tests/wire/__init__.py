"""Loopback servers that speak the real wires of the outside world."""
