"""Handlers: what hangs on an engine: checkpoints, metrics, progress, pictures."""

import lazy_loader

# Names and their files are in __init__.pyi; a file is imported when its name is first used, so that
# what needs no torch can be used where there is none.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
