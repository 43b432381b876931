"""Export of a trained network to formats that other programs run. Knows nothing of YMIR."""
