from __future__ import annotations

import logging
import sys

import numpy as np
import pydicom
import pytest
from pydicom.data import get_charset_files

pytest.importorskip("highdicom")

from multimix_monai.data.images import ImageError
from multimix_monai.dicom.results import Algorithm, Findings, write_results

ALGORITHM = Algorithm("ab" * 32, ("image_size=256", "threshold=0.5"))
MASK = np.zeros((40, 50), dtype=np.uint8)
MASK[5:25, 5:15] = 1
MASK[5:15, 30:40] = 1
PICTURE = np.zeros((40, 50, 3), dtype=np.uint8)
KINDS = ["seg", "sr", "sc_overlay", "sc_saliency"]
UIDS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


def findings(*, mask=MASK, algorithm=ALGORITHM, **others) -> Findings:
    return Findings(mask, 0.8, 0.5, algorithm, overlay=PICTURE, saliency=PICTURE, **others)


def written(source, folder, **others) -> dict[str, pydicom.Dataset]:
    files = write_results(source, folder, findings(**others))
    return {kind: pydicom.dcmread(folder / file) for kind, file in files.items()}


@pytest.mark.parametrize("kind", ["DX", "CR"])
@pytest.mark.parametrize("orientation", [["L", "F"], None])
def test_the_standards_validator_finds_no_errors(
    tmp_path, radiograph_file, validated, kind, orientation
) -> None:
    source = radiograph_file(kind=kind, PatientOrientation=orientation)
    if orientation:
        validated(source)
    rules = {"quality": "review", "quality_rules": ("left_right",), "flags": ("forced:lateral",)}
    for folder, mask in (("found", MASK), ("empty", np.zeros_like(MASK))):
        others = findings(mask=mask, raw_prob=0.7, forced=True, **rules)
        for file in write_results(source, tmp_path / folder, others).values():
            validated(tmp_path / folder / file)


def test_names_of_what_was_written_are_returned(tmp_path, radiograph_file) -> None:
    source = radiograph_file()
    assert write_results(source, tmp_path / "a", findings()) == {k: f"{k}.dcm" for k in KINDS}
    bare = Findings(np.zeros_like(MASK), 0.8, 0.5, ALGORITHM)
    assert write_results(source, tmp_path / "b", bare) == {"sr": "sr.dcm"}
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["sr.dcm"]


def test_an_open_data_set_and_an_open_file_do_as_well_and_stay_as_they_are(
    tmp_path, radiograph_file
) -> None:
    path = radiograph_file()
    dataset, before = pydicom.dcmread(path), pydicom.dcmread(path)
    with path.open("rb") as file:
        sources = [written(source, tmp_path / "out") for source in (path, dataset, file)]
    assert dataset == before
    uids = [[result.SOPInstanceUID for result in source.values()] for source in sources]
    assert uids[0] == uids[1] == uids[2]


def test_the_same_result_has_the_same_uids_and_any_other_has_others(
    tmp_path, radiograph_file
) -> None:
    source = radiograph_file()
    variants = {
        "first": (source, ALGORITHM),
        "again": (source, ALGORITHM),
        "weights": (source, Algorithm("cd" * 32, ALGORITHM.settings)),
        "settings": (source, Algorithm(ALGORITHM.weights_digest, ("image_size=512",))),
        "version": (source, Algorithm("ab" * 32, ALGORITHM.settings, version="9.9.9")),
        "image": (radiograph_file(name="b.dcm", SOPInstanceUID="1.2.3"), ALGORITHM),
    }
    uids = {}
    for name, (path, algorithm) in variants.items():
        results = written(path, tmp_path / name, algorithm=algorithm)
        uids[name] = [results[kind][uid].value for kind in KINDS for uid in UIDS[:2]]
        assert {result.StudyInstanceUID for result in results.values()} == {
            pydicom.dcmread(source).StudyInstanceUID
        }
    assert uids["first"] == uids.pop("again")
    assert len({uid for group in uids.values() for uid in group}) == 8 * len(uids)


def test_a_result_that_is_made_again_differs_in_its_times_only(tmp_path, radiograph_file) -> None:
    source = radiograph_file()
    first, again = (written(source, tmp_path / name) for name in ("first", "again"))
    for kind in KINDS:
        pairs = zip(first[kind].iterall(), again[kind].iterall(), strict=True)
        others = [a.keyword for a, b in pairs if a != b and a.VR not in ("SQ", "DA", "TM", "DT")]
        assert others == [], kind
    organised = first["seg"].DimensionOrganizationSequence[0].DimensionOrganizationUID
    for index in first["seg"].DimensionIndexSequence:
        assert index.DimensionOrganizationUID == organised


def test_uids_can_be_known_before_anything_is_computed(tmp_path, radiograph_file) -> None:
    source = radiograph_file()
    image = pydicom.dcmread(source).SOPInstanceUID
    for kind, result in written(source, tmp_path / "out").items():
        assert result.SOPInstanceUID == ALGORITHM.uid(kind, image)


def raw(dataset: pydicom.Dataset, keyword: str) -> bytes:
    """A value as its bytes in the file; ask before it is decoded."""
    return dataset.get_item(keyword).value.rstrip()


CHARSETS = sorted(
    path
    for path in get_charset_files("*.dcm")
    if "SpecificCharacterSet" in pydicom.dcmread(path) and "PatientName" in pydicom.dcmread(path)
)


@pytest.mark.parametrize("example", CHARSETS, ids=lambda path: path.rpartition("/")[2])
def test_names_in_any_script_survive_byte_by_byte(tmp_path, radiograph_file, example) -> None:
    named = pydicom.dcmread(example)
    source = radiograph_file(
        SpecificCharacterSet=named.SpecificCharacterSet, PatientName=named.PatientName
    )
    name = raw(pydicom.dcmread(source), "PatientName")
    assert name
    for result in written(source, tmp_path / "out").values():
        assert raw(result, "PatientName") == name
        assert result.SpecificCharacterSet == named.SpecificCharacterSet
        assert result.PatientName == named.PatientName


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("ISO_IR 13", "ﾑﾈ PA".encode("shift_jis")),
        (["", "ISO 2022 IR 149"], b"\x1b$)CHong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"),
        ("ISO_IR 192", "Übersicht".encode("latin1")),
        ("ISO_IR 100", "Übersicht".encode("latin1")),
    ],
)
def test_a_text_keeps_its_bytes_also_where_they_would_be_encoded_otherwise(
    tmp_path, radiograph_file, charset, text
) -> None:
    stand_in = b"T" * len(text)
    source = radiograph_file(SpecificCharacterSet=charset, StudyDescription=stand_in.decode())
    source.write_bytes(source.read_bytes().replace(stand_in, text))
    for result in written(source, tmp_path / "out").values():
        assert raw(result, "StudyDescription") == text


def test_all_three_groups_of_a_japanese_name_survive(tmp_path, radiograph_file) -> None:
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    for number, charset in enumerate(["ISO_IR 192", ["", "ISO 2022 IR 87"]]):
        source = radiograph_file(SpecificCharacterSet=charset, PatientName=name)
        for result in written(source, tmp_path / str(number)).values():
            assert str(result.PatientName) == name
            assert result.PatientName.phonetic == "やまだ^たろう"


def test_patient_and_study_are_carried_over_and_nothing_private(tmp_path, radiograph_file) -> None:
    item = pydicom.Dataset()
    item.PatientID, item.IssuerOfPatientID = "2", "elsewhere"
    item.private_block(0x0011, "ACME", create=True).add_new(1, "LO", "secret")
    path = radiograph_file(
        PatientBirthDate="19700101",
        PatientSex="",
        PatientAge="030Y",
        AccessionNumber="A1",
        StudyDescription="Thorax",
        OtherPatientIDsSequence=[item],
        OperatorsName="O^P",
    )
    source = pydicom.dcmread(path)
    source.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "secret")
    for result in written(source, tmp_path / "out").values():
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge"):
            assert result[keyword] == source[keyword]
        for keyword in ("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "StudyDescription"):
            assert result[keyword] == source[keyword]
        assert result.OtherPatientIDsSequence[0].IssuerOfPatientID == "elsewhere"
        assert not [element for element in result.iterall() if element.tag.is_private]
        assert "OperatorsName" not in result


def test_what_the_source_lacks_is_empty_and_what_it_has_wrong_stays(
    tmp_path, radiograph_file
) -> None:
    lacking = ("PatientName", "PatientID", "PatientSex", "StudyDate", "AccessionNumber")
    source = pydicom.dcmread(radiograph_file(**dict.fromkeys(lacking)))
    with pytest.warns(UserWarning):
        source.PatientBirthDate = "01.02.1970"
    for result in written(source, tmp_path / "out").values():
        assert all(result[keyword].is_empty for keyword in lacking)
        assert raw(result, "PatientBirthDate") == b"01.02.1970"


def test_no_value_of_the_patient_is_in_a_warning_or_a_log(
    tmp_path, radiograph_file, caplog, recwarn
) -> None:
    wrong = {"PatientBirthDate": "01.02.1970", "PatientID": "7" * 70, "PatientName": "Secret"}
    wrong |= {"PatientSex": "unsaid", "PatientAge": "thirty", "StudyTime": "7:04"}
    with pydicom.config.disable_value_validation():
        source = radiograph_file(**wrong)
    caplog.set_level(logging.DEBUG)
    recwarn.clear()
    write_results(source, tmp_path / "out", findings())
    said = caplog.text + "".join(str(warning.message) for warning in recwarn)
    assert not [value for value in wrong.values() if value in said]


@pytest.mark.parametrize(
    ("attributes", "ratio"),
    [
        ({"ImagerPixelSpacing": ["0.2", "0.3"]}, [2, 3]),
        ({"ImagerPixelSpacing": ["0.143", "0.143"]}, None),
        ({"ImagerPixelSpacing": None, "PixelAspectRatio": ["4", "3"]}, [4, 3]),
        ({"ImagerPixelSpacing": None}, None),
    ],
)
def test_pixels_that_are_not_square_stay_so(
    tmp_path, radiograph_file, validated, attributes, ratio
) -> None:
    results = written(radiograph_file(kind="CR", **attributes), tmp_path / "out")
    for kind in ("seg", "sc_overlay", "sc_saliency"):
        assert results[kind].get("PixelAspectRatio") == ratio
        validated(tmp_path / "out" / f"{kind}.dcm")
    assert "PixelAspectRatio" not in results["sr"]


def test_equipment_and_series_are_ours(tmp_path, radiograph_file) -> None:
    numbers = set()
    for kind, result in written(radiograph_file(), tmp_path / "out").items():
        assert result.Manufacturer == "MultiMix for MONAI"
        assert (result.ManufacturerModelName, result.SoftwareVersions) == (
            "MultiMix",
            ALGORITHM.version,
        )
        assert result.DeviceSerialNumber == "ab" * 8
        assert result.Modality == {"seg": "SEG", "sr": "SR"}.get(kind, "OT")
        assert len(result.SeriesDescription) <= 64
        assert "research only, not a medical device" in result.SeriesDescription
        numbers.add(result.SeriesNumber)
    assert len(numbers) == 4


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"StudyInstanceUID": None}, r"StudyInstanceUID \(0020,000D\) is missing"),
        ({"SeriesInstanceUID": ""}, r"SeriesInstanceUID \(0020,000E\) is missing"),
        ({"SOPInstanceUID": "1.02.x"}, r"SOPInstanceUID \(0008,0018\) is no valid UID"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "is CT Image Storage; results as DICOM"),
        ({"SOPClassUID": "1.2.3"}, "is 1.2.3; results as DICOM are made for Computed"),
        ({"Rows": None}, r"no Rows \(0028,0010\)"),
    ],
)
def test_a_source_that_results_cannot_belong_to_is_refused(
    tmp_path, radiograph_file, attributes, message
) -> None:
    with pydicom.config.disable_value_validation():
        source = radiograph_file(**attributes)
    with pytest.raises(ImageError, match=message) as error:
        write_results(source, tmp_path / "out", findings())
    assert error.value.reason == "no_dicom_results"
    assert not (tmp_path / "out").exists()


def test_what_is_not_dicom_is_refused(tmp_path) -> None:
    (tmp_path / "text.dcm").write_text("not DICOM")
    with pytest.raises(ImageError, match="not a readable DICOM file"):
        write_results(tmp_path / "text.dcm", tmp_path / "out", findings())


def test_without_highdicom_the_extra_is_named(tmp_path, radiograph_file, monkeypatch) -> None:
    source = radiograph_file()
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(ImportError, match=r'pip install "multimix-monai\[dicom\]"'):
        write_results(source, tmp_path / "out", findings())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": 255 * MASK}, "not scaled to 255"),
        ({"mask": MASK.astype(bool)}, "mask is bool"),
        ({"prob": 1.1}, "prob is 1.1"),
        ({"raw_prob": float("nan")}, "raw_prob is nan"),
        ({"quality": "good"}, "pass or review"),
        ({"overlay": MASK}, r"overlay is uint8 \(40, 50\)"),
    ],
)
def test_findings_that_make_no_sense_are_refused(change, message) -> None:
    arguments = {"mask": MASK, "prob": 0.5, "threshold_prob": 0.5, "algorithm": ALGORITHM}
    with pytest.raises(ValueError, match=message):
        Findings(**{**arguments, **change})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights_digest": ""}, "digest"),
        ({"weights_digest": "ab", "settings": ("force",)}, "name=value"),
        ({"weights_digest": "ab", "name": "x" * 65}, "1 to 64"),
    ],
)
def test_an_algorithm_that_cannot_be_identified_is_refused(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        Algorithm(**arguments)
