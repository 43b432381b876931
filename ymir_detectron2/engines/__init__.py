"""Detectors behind one interface: `base` defines it, one file per engine implements it."""
