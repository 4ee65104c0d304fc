"""Apps: turns at a MONAI Label datastore, for the threads and processes that share its folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from filelock import FileLock


class TurnTaking:
    """Who changes the datastore's file takes a turn. Mixed in before a LocalDatastore.

    What is changed in a turn other threads see at its end, all at once.

    Differs: MONAI Label's processes write what they read long ago over what others wrote since, and
    its threads meet a datastore that is being read anew: without images, or without its folder.
    """

    _settled: Any = None  # what all threads see

    @property
    def _datastore(self) -> Any:
        return vars(self._own).get("model", self._settled)

    @_datastore.setter
    def _datastore(self, model: Any) -> None:
        if "model" in vars(self._own):
            self._own.model = model
        else:
            self._settled = model

    @cached_property
    def _own(self) -> threading.local:
        """Its `model`, in a turn only: the datastore that this thread changes."""
        return threading.local()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The datastore's file as all processes have left it, for this thread to change."""
        with FileLock(f"{self._lock_file}.turn"):  # type: ignore[attr-defined]
            self._own.model = self._settled
            try:
                self._config_ts = 0.0  # two writes may have the same time
                self._init_from_datastore_file()  # type: ignore[attr-defined]
                yield
                self._settled = self._own.model
            finally:
                del self._own.model

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """As of MONAI Label."""
        with self._turn():
            super().update_image_info(image_id, info)  # type: ignore[misc]

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """As of MONAI Label."""
        with self._turn():
            super().update_label_info(label_id, label_tag, info)  # type: ignore[misc]

    def _reconcile_datastore(self) -> None:
        with self._turn():
            super()._reconcile_datastore()  # type: ignore[misc]

    def _on_modify_event(self, event: Any) -> None:
        if event.src_path == self._datastore_config_path:  # type: ignore[attr-defined]
            with self._turn():
                pass  # it is read
