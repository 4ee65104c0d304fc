"""After losses on the path of data: trainer, evaluator and inferer."""
