"""The app that MONAI Label starts: it looks in an app's folder for a main.py with one in it."""

from multimix_monai.apps.label_server import MultiMixApp

__all__ = ["MultiMixApp"]
