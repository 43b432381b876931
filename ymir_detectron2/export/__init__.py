"""A trained network in forms that other programs run. Writes where it is told to, knows nothing of YMIR."""
