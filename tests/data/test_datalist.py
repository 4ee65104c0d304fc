"""The datalist JSON: parts, budgets, hash, and what is refused when it is read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from multimix_monai.data import Case
from multimix_monai.data import datalist as module
from multimix_monai.data.datalist import (
    PARTS,
    Budget,
    build_datalist,
    content_hash,
    load_datalist,
    load_part,
    write_datalist,
)


@pytest.fixture
def cohort(tmp_path: Path) -> list[Case]:
    """40 patients with masks (source m), 40 with labels (source k, 8 of them officially test)."""
    cases = []
    for i in range(40):
        image, mask, labelled = (tmp_path / f"{kind}{i}.png" for kind in ("i", "m", "k"))
        for file in (image, mask, labelled):
            file.write_bytes(bytes(i + 1))
        cases.append(Case(image, f"i{i}", mask=(mask,), source="m"))
        part = "test" if i < 8 else "train"
        cases.append(Case(labelled, f"k{i}", label=i % 2, source="k", part=part))
    return cases


@pytest.fixture
def built(cohort: list[Case], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def build(**changes: Any) -> dict[str, Any]:
        arguments = {"test": {"m": 10}, "training_budget": Budget(5, 8)} | changes
        return build_datalist(cohort, dataset_dir=tmp_path, **arguments)

    return build


def test_counts_are_those_asked_for(built: Callable[..., dict[str, Any]]) -> None:
    counts = built()["counts"]
    assert counts["test"]["m"]["patients"] == 10 and counts["test"]["k"]["images"] == 8
    assert counts["validation"]["m"]["masks"] == 3 and counts["validation"]["k"]["images"] == 3
    assert counts["training"]["m"] == {
        "images": 27,
        "masks": 5,
        "label_0": 0,
        "label_1": 0,
        "unlabelled": 27,
        "patients": 27,
    }
    assert (counts["training"]["k"]["label_0"], counts["training"]["k"]["label_1"]) == (4, 4)
    assert counts["training"]["k"]["unlabelled"] == 29 - 8


def test_what_the_budget_withholds_is_hidden_and_only_in_training(
    built: Callable[..., dict[str, Any]],
) -> None:
    datalist = built()
    training = datalist["training"]
    assert sum("hidden_mask" in item for item in training) == 22
    assert sum("hidden_label" in item for item in training) == 21
    assert not any("mask" in item and "hidden_mask" in item for item in training)
    hidden = [item for part in ("validation", "test") for item in datalist[part]]
    assert not any("hidden_mask" in item or "hidden_label" in item for item in hidden)


def test_validation_may_have_a_budget_too(built: Callable[..., dict[str, Any]]) -> None:
    counts = built(validation_budget=Budget(masks=1, labels=2))["counts"]["validation"]
    assert counts["m"]["masks"] == 1 and counts["k"]["unlabelled"] == 1


def test_seed_moves_the_budget_and_never_the_parts(built: Callable[..., dict[str, Any]]) -> None:
    budget = Budget(masks=1, labels=1)
    first, second = (built(seed=seed, validation_budget=budget) for seed in (0, 1))
    other = built(split_seed=1)
    assert first["test"] == second["test"] and first["validation"] == second["validation"]
    names = [item["case"] for item in first["training"]]
    assert names == [item["case"] for item in second["training"]]
    assert first["training"] != second["training"]
    assert first["test"] != other["test"]
    assert built(validation_budget=budget) == first


def test_a_share_of_one_tests_on_a_whole_source(built: Callable[..., dict[str, Any]]) -> None:
    datalist = built(test={"m": 1.0}, training_budget=Budget())
    assert datalist["counts"]["test"]["m"]["images"] == 40
    assert "m" not in datalist["counts"]["training"]


def test_development_tests_on_others_than_the_test_part_and_never_trains_on_either(
    built: Callable[..., dict[str, Any]],
) -> None:
    real = {(item["source"], item["case"]) for item in built()["test"]}
    datalist = built(develop={"m": 12, "k": "^k[12]"}, training_budget=Budget(5, 8))
    names = {part: {(i["source"], i["case"]) for i in datalist[part]} for part in PARTS}
    assert len([name for source, name in names["test"] if source == "m"]) == 12
    numbers = {name for source, name in names["test"] if source == "k"}
    assert numbers == {f"k{n}" for n in range(10, 30)}  # k1 and k2 are officially test
    assert not real & (names["training"] | names["validation"] | names["test"])
    assert not names["test"] & (names["training"] | names["validation"])
    assert sum("label" in item for item in datalist["training"]) == 8


def test_patient_in_train_and_test_is_refused_with_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").touch()
    cases = [
        Case(tmp_path / "a.png", "a", patient="p7", part="train"),
        Case(tmp_path / "b.png", "b", patient="p7", part="test"),
    ]
    with pytest.raises(
        ValueError, match=r"patient p7 of folder is in training \(a.png\) and test \(b.png\)"
    ):
        build_datalist(cases, dataset_dir=tmp_path, validation=0.0)


def test_same_picture_of_two_sources_in_two_parts_is_refused(
    built: Callable[..., dict[str, Any]], cohort: list[Case]
) -> None:
    digests = {case.image: case.case for case in cohort}
    tested = next(case for case in cohort if case.part == "test")
    trained = next(item for item in built()["training"] if item["source"] == "m")
    digests[next(case.image for case in cohort if case.case == trained["case"])] = tested.case
    with pytest.raises(ValueError, match="are the same picture"):
        built(digests=digests)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training_budget": Budget(masks=99)}, "training: 99 masks asked for, but there are 36"),
        ({"test": {"x": 3}}, "no source 'x' to test on; there are k, m"),
        ({"test": {"m": 41}}, "test m: 41 patients asked for, but there are 40"),
        ({"develop": {"m": "^x"}}, "develop m: no image has a name like '\\^x'; one is i0"),
        ({"develop": {"m": "("}}, "develop m: '\\(' is no regular expression"),
        ({"develop": {"y": 1}}, "no source 'y' to test on; there are k, m"),
        ({"dataset_dir": Path("elsewhere")}, "not below dataset_dir"),
    ],
)
def test_impossible_requests_say_what_there_is(
    cohort: list[Case], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build_datalist(cohort, **({"dataset_dir": tmp_path} | changes))


def test_repeated_names_and_files_are_refused(cohort: list[Case], tmp_path: Path) -> None:
    namesake = replace(cohort[0], image=cohort[1].image)
    with pytest.raises(ValueError, match="two cases of m are named i0"):
        build_datalist([cohort[0], namesake], dataset_dir=tmp_path, validation=0.0)
    renamed = replace(cohort[0], source="other")
    with pytest.raises(ValueError, match=r"i0\.png occurs twice, in m and other"):
        build_datalist([cohort[0], renamed], dataset_dir=tmp_path, validation=0.0)


def test_written_datalist_loads_with_absolute_paths(
    built: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    datalist = built()
    write_datalist(datalist, tmp_path / "lists/a.json")
    assert [path.name for path in (tmp_path / "lists").iterdir()] == ["a.json"]
    loaded = load_datalist(tmp_path / "lists/a.json", dataset_dir=tmp_path)
    assert list(loaded) == list(PARTS)
    for part in PARTS:
        assert len(loaded[part]) == len(datalist[part])
    masked = next(item for item in loaded["training"] if "mask" in item)
    assert Path(masked["image"]).is_absolute() and Path(masked["mask"][0]).is_file()
    test = load_part(tmp_path / "lists/a.json", "test", dataset_dir=tmp_path)
    assert test == loaded["test"]
    with pytest.raises(ValueError, match="part is 'train'; it must be one of training, val"):
        load_part(tmp_path / "lists/a.json", "train", dataset_dir=tmp_path)


def test_failed_write_leaves_the_previous_file(
    built: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lists/a.json"
    write_datalist(built(), path)
    before = path.read_text()

    def disk_full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(module.os, "fsync", disk_full)
    with pytest.raises(OSError, match="no space left"):
        write_datalist({"description": "other"}, path)
    assert path.read_text() == before and len(list(path.parent.iterdir())) == 1


def test_failed_write_names_the_file_and_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 250}.json"
    with pytest.raises(OSError, match=r"/x+\.json cannot be written \(.*\): choose another place"):
        write_datalist({}, path)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/sub/a\.json cannot be written \(.*\): choose another"):
        write_datalist({}, tmp_path / "file/sub/a.json")


def test_hash_ignores_order_and_notices_items_and_sizes(
    built: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    datalist = built()
    parts = {part: datalist[part] for part in PARTS}
    assert content_hash(parts, dataset_dir=tmp_path) == datalist["content_hash"]
    parts["test"] = parts["test"][::-1]
    assert content_hash(parts, dataset_dir=tmp_path) == datalist["content_hash"]
    assert built(seed=1)["content_hash"] != datalist["content_hash"]
    (tmp_path / "k0.png").write_bytes(b"longer than before")
    assert content_hash(parts, dataset_dir=tmp_path) != datalist["content_hash"]


def test_changed_files_are_warned_about(
    built: Callable[..., dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_datalist(built(), tmp_path / "a.json")
    load_datalist(tmp_path / "a.json", dataset_dir=tmp_path)
    assert not caplog.records
    (tmp_path / "k0.png").write_bytes(b"longer than before")
    load_datalist(tmp_path / "a.json", dataset_dir=tmp_path)
    assert "files have changed" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "is no datalist"),
        ('{"train": []}', "has part 'train'; a datalist has training, validation, test"),
        ('{"seed": 0}', "has part None"),
    ],
)
def test_foreign_json_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_datalist(tmp_path / "a.json", dataset_dir=tmp_path)


def test_missing_folder_json_and_files_are_refused_within_a_second(tmp_path: Path) -> None:
    start = time.process_time()
    path = tmp_path / "a.json"
    with pytest.raises(ValueError, match=r"dataset_dir .*gone does not exist: set it with --data"):
        load_datalist(path, dataset_dir=tmp_path / "gone")
    with pytest.raises(ValueError, match=r"a\.json does not exist: write it with `multimix datal"):
        load_datalist(path, dataset_dir=tmp_path)
    items = [{"image": f"{i:04}.png", "case": str(i), "source": "folder"} for i in range(5000)]
    path.write_text(json.dumps({"training": items}))
    with pytest.raises(ValueError, match=r"5000 files are missing, such as \S+0000.png, ") as error:
        load_datalist(path, dataset_dir=tmp_path)
    assert "0002.png" in str(error.value) and "0003.png" not in str(error.value)
    assert time.process_time() - start < 1  # of this process: others may hold the cores


def test_edited_datalist_with_a_patient_in_two_parts_is_refused(tmp_path: Path) -> None:
    item = {"image": "a.png", "case": "a", "source": "folder", "patient": "p"}
    (tmp_path / "a.json").write_text(json.dumps({"training": [item], "test": [item]}))
    with pytest.raises(ValueError, match="patient p of folder is in training"):
        load_datalist(tmp_path / "a.json", dataset_dir=tmp_path)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Write parts as somebody might by hand, beside a.png to d.png, and load them."""
    for name in "abcd":
        (tmp_path / f"{name}.png").touch()

    def load(**parts: Any) -> dict[str, Any]:
        (tmp_path / "hand.json").write_text(json.dumps(parts))
        return load_datalist(tmp_path / "hand.json", dataset_dir=tmp_path)

    return load


def test_items_written_by_hand_come_in_one_form(
    load: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    a, b, c, d = (str(tmp_path / f"{name}.png") for name in "abcd")
    training = [
        {"image": "./a.png", "mask": "b.png", "label": None, "patient": 7},
        {"image": "c.png", "mask": None, "label": 1.0, "hidden_mask": [], "case": ""},
    ]
    assert load(training=training, test=[{"image": "d.png", "label": 0}]) == {
        "training": [
            {"image": a, "mask": [b], "patient": "7", "case": "a"},
            {"image": c, "label": 1, "case": "c"},
        ],
        "validation": [],
        "test": [{"image": d, "label": 0, "case": "d"}],
    }


def test_entries_of_one_image_in_one_part_are_united(load: Callable[..., dict[str, Any]]) -> None:
    entries = [{"image": "a.png", "case": "x", "label": 0}, {"image": "a.png", "mask": ["b.png"]}]
    (item,) = load(training=entries)["training"]
    assert (item["case"], item["label"], len(item["mask"])) == ("x", 0, 1)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (["a.png"], r"hand\.json: training\[0\]: has no image"),
        ([{"image": "b.png"}, {"case": "x"}], r"training\[1\]: has no image"),
        ([{"image": ["a.png"]}], r"training\[0\]: has no image"),
        (
            [{"image": "a.png", "case": "x", "label": "1"}],
            r"\(x\): label is '1'; it must be the num",
        ),
        ([{"image": "a.png", "label": "normal"}], r"\(a\.png\): label is 'normal'"),
        ([{"image": "a.png", "label": 2}], "label is 2"),
        ([{"image": "a.png", "label": [0, 1]}], r"label is \[0, 1\]"),
        ([{"image": "a.png", "mask": 3}], "mask is 3; it must be a path"),
        ([{"image": "a.png", "mask": [None]}], r"mask is \[None\]; it must be a path"),
        (
            [{"image": "a.png", "label": 0}, {"image": "./a.png", "label": 1}],
            "training: a.png has two entries, one with label 0 and one with 1",
        ),
    ],
)
def test_an_item_that_is_wrong_is_refused_by_part_and_case(
    load: Callable[..., dict[str, Any]], training: list[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load(training=training)


@pytest.mark.parametrize("again", ["a.png", "{root}/a.png"])
def test_one_image_in_two_parts_is_refused_by_whatever_name(
    load: Callable[..., dict[str, Any]], tmp_path: Path, again: str
) -> None:
    other = {"image": again.format(root=tmp_path), "case": "y"}
    with pytest.raises(ValueError, match=r"a\.png is in training and test: an image may be in one"):
        load(training=[{"image": "a.png", "case": "x"}], test=[other])
