from __future__ import annotations

import logging
from pathlib import Path

import pytest

from multimix_monai.apps.label_datalist import (
    Known,
    build,
    class_of,
    counts,
    hold_back,
    read_classes,
)
from multimix_monai.data.patient import digest


def known(number: int, *, mask: bool = False, label: int | None = None, patient: str = "") -> Known:
    name = digest(str(number))
    path = Path(f"/images/{number}.png")
    return Known(name, path, digest(patient or name), path if mask else None, label)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1), (0, 0), (True, 1), ("Pneumonia", 1), ("normal", 0), ("", None), (None, None)],
)
def test_a_class_is_read_from_an_info(value: object, expected: int | None) -> None:
    assert class_of({"pneumonia": value}) == expected


def test_a_class_that_is_none_is_told() -> None:
    with pytest.raises(ValueError, match="'maybe'; it can be 0, 1, normal or pneumonia"):
        class_of({"pneumonia": "maybe"})


def test_a_csv_names_images_by_id_or_by_file(tmp_path: Path) -> None:
    path = tmp_path / "classes.csv"
    path.write_text("image,label,patient\na,1,p\nb.png,normal,\nc.png,,q\n")
    names = {"a": "a.png", "b": "b.png", "c": "c.png", "d": "d.png"}
    assert read_classes(path, names) == {"a": (1, "p"), "b": (0, None), "c": (None, "q")}
    path.write_text("image,label\na,1\na.png,0\n")
    with pytest.raises(ValueError, match="by its id and one by its file's name"):
        read_classes(path, names)


def test_rows_of_no_image_are_counted_in_the_log_and_not_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "classes.csv"
    path.write_text("image,label\nGEHEIM,1\nGEHEIM2,0\na,1\n")
    assert read_classes(path, {"a": "a.png"}) == {"a": (1, None)}
    assert "no image here: 2" in caplog.text and "GEHEIM" not in caplog.text
    with pytest.raises(ValueError, match="none of 3 rows names an image"):
        read_classes(path, {"b": "b.png"})


@pytest.mark.parametrize(("masks", "held"), [(1, 0), (4, 0), (5, 1), (9, 1), (10, 2), (40, 8)])
def test_of_five_masks_one_is_held_back(masks: int, held: int) -> None:
    fate = hold_back([known(n, mask=True) for n in range(masks)], {})
    assert len(fate) == masks and sum(fate.values()) == held


def test_both_classes_are_held_back_beside_masks() -> None:
    images = [known(n, mask=n < 5, label=n % 2) for n in range(35)]
    fate = hold_back(images, {})
    held = [one for one in images if fate[one.patient]]
    assert sum(one.mask is not None for one in held) == 1
    assert {one.label for one in held if one.mask is None} == {0, 1}


def test_whoever_was_learnt_from_is_never_validated_on_later() -> None:
    before: dict[str, bool] = {}
    for count in range(1, 31):
        fate = hold_back([known(n, mask=True) for n in range(count)], before)
        assert before.items() <= fate.items()
        assert sum(fate.values()) == count // 5
        before = fate


def test_all_images_of_a_patient_share_its_fate_and_bare_ones_of_a_held_back_one_are_left() -> None:
    images = [known(n, mask=True) for n in range(9)]
    images += [known(9, mask=True, patient="twice"), known(10, patient="twice"), known(11)]
    fate = {digest("twice"): True}
    parts = build(images, hold_back(images, fate))
    validated = {item["case"] for item in parts["validation"]}
    learnt = {item["case"] for item in parts["training"]}
    assert digest("9") in validated and digest("10") not in validated | learnt
    assert digest("11") in learnt and not validated & learnt
    assert counts(parts) == {
        "masks": 8,
        "classes": 0,
        "unannotated": 1,
        "held_back_masks": 2,
        "held_back_classes": 0,
    }


def test_nothing_annotated_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match="of 3 images none has a finished label"):
        build([known(n) for n in range(3)], {})


def test_no_id_is_in_a_datalist() -> None:
    parts = build([known(1, mask=True, patient="GEHEIM")], {})
    assert "GEHEIM" not in str(parts)
