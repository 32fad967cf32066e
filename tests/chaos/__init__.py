"""Chaos: runs that are killed, stopped, starved and doubled, and then make the map of an undisturbed one."""
