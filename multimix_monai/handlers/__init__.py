"""After engines on the path of data: what hangs on an engine, from metrics to checkpoints."""
