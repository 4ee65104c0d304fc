"""The rooms: every public name is there, and what needs no torch does not import it."""

import subprocess
import sys
from importlib import import_module

import pytest

WITHOUT_TORCH = ["apps.predict", "apps.predict_onnx", "apps.doctor", "dicom.results"]


@pytest.mark.parametrize("room", ["transforms", "engines", "handlers"])
def test_every_name_that_a_room_lists_is_there(room: str) -> None:
    module = import_module(f"multimix_monai.{room}")
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


def test_what_a_prediction_without_torch_needs_is_imported_without_it() -> None:
    code = "import sys; sys.modules.update(torch=None, monai=None, ignite=None)\n" + "\n".join(
        f"import multimix_monai.{name}" for name in WITHOUT_TORCH
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
