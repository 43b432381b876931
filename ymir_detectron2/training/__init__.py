"""Training of both engines: resolved config, sampling, the loop, evaluation, checkpoints. Knows nothing of YMIR."""
