from __future__ import annotations

from typing import Any

import pytest

from multimix_monai.apps.label_request import plain_name, plain_settings

KNOWN = {"max_epochs": 10, "optimizer": "$torch.optim.Adam"}


@pytest.mark.parametrize("name", ["", ".", "..", "../main", "a/b", "a\\b", "/etc/passwd", "a\0", 3])
def test_a_name_that_leaves_its_folder_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match=r"image is .*; it can be a name without slashes"):
        plain_name(name, what="image")


@pytest.mark.parametrize("name", ["case0", "1.2.840.1", "a b..c", "..."])
def test_other_names_are_kept(name: str) -> None:
    assert plain_name(name, what="image") == name


@pytest.mark.parametrize(
    "value",
    [
        "$__import__('os').system('true')",
        "@network",
        "%other.json",
        "a word",
        None,
        [1, ["$1"]],
        {"mask_labelled": "$1"},
        {"_target_": 1},
        {"$1": 1},
        {"a#b": 1},
    ],
)
def test_a_setting_that_would_be_evaluated_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"max_epochs is .*a setting of a request is a number"):
        plain_settings({"max_epochs": value}, known=KNOWN)


def test_numbers_and_what_the_server_has_itself_are_taken() -> None:
    chosen = {"max_epochs": 2, "fused": False, "batch_sizes": {"mask_labelled": 2}, "seeds": [1, 2]}
    assert plain_settings(chosen, known=KNOWN) == chosen
    assert plain_settings(KNOWN, known=KNOWN) == {}
