"""The driver-level door: a caller's own SQL on a driver's connection, the same calls on every driver."""
