"""R8, the deterministic simulation: whole days of the real bot on a clock that is a number, by seed."""
