"""Path of data, going back: what was found becomes a structured report, TID 1500.

Needs highdicom; `results.write_results` says so where it is absent.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from highdicom.seg import Segmentation
from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    DeviceObserverIdentifyingAttributes,
    EnhancedSR,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegmentationFrame,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForSegmentation,
    TextContentItem,
    TrackingIdentifier,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.uid import ExplicitVRLittleEndian

from multimix_monai.dicom import codes
from multimix_monai.dicom.findings import Algorithm, Findings
from multimix_monai.dicom.geometry import spacing_mm
from multimix_monai.dicom.identity import RESEARCH_ONLY, identity
from multimix_monai.dicom.objects import OWN_MANUFACTURER


def report(
    header: Dataset,
    reference: Dataset,
    findings: Findings,
    *,
    segments: Mapping[str, NDArray[np.uint8]],
    segmentation: Segmentation | None,
) -> EnhancedSR:
    """A measurement report: pneumonia and the quality of the result, and each lung's area.

    An Enhanced SR, the least that carries TID 1500 with references to segments: Comprehensive SR
    adds references between content items, and Comprehensive 3D SR coordinates in a Frame of
    Reference, which a radiograph does not have. Complete and preliminary; verified by nobody.

    Args:
        header: the source's attributes, as of `carried.read_source`.
        reference: the same for highdicom, as of `carried.reference`.
        findings: what is reported.
        segments: masks by name, as of `lungs.split_lungs`; empty where no lung was found.
        segmentation: the object that holds them, None where there is none.

    Source: PS3.3 A.35.2 (Enhanced SR IOD), PS3.16 TID 1500, 1501, 1410 and 4019.
    """
    algorithm, source_uid = findings.algorithm, str(reference.SOPInstanceUID)
    lungs = [
        _lung(header, name, mask, number=number, segmentation=segmentation, findings=findings)
        for number, (name, mask) in enumerate(segments.items(), start=1)
        if segmentation is not None
    ]
    whole = [_pneumonia(reference, findings), *([] if lungs else [_no_lung(reference, findings)])]
    content = MeasurementReport(
        observation_context=_observer(algorithm),
        procedure_reported=codes.CHEST_RADIOGRAPHY,
        imaging_measurements=[*whole, *lungs],
    )
    content[0].ContentSequence.append(_comment(segments))
    return EnhancedSR(
        evidence=[reference, *([segmentation] if segmentation is not None else [])],
        content=content[0],
        is_complete=True,
        is_final=False,
        is_verified=False,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **identity("sr", algorithm=algorithm, source_uid=source_uid),
    )


def _pneumonia(reference: Dataset, findings: Findings) -> MeasurementsAndQualitativeEvaluations:
    """TID 1501 for the image as a whole."""
    measurements = []
    if findings.is_calibrated:
        measurements.append(_number(codes.PROBABILITY, findings.prob, method=codes.CALIBRATED))
    raw_prob = findings.prob if findings.raw_prob is None else findings.raw_prob
    measurements.append(_number(codes.PROBABILITY, raw_prob, method=codes.UNCALIBRATED))
    measurements.append(_number(codes.THRESHOLD, findings.threshold_prob))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking("pneumonia", reference, findings.algorithm),
        finding_type=codes.PNEUMONIA,
        algorithm_id=_algorithm(findings),
        measurements=measurements,
        qualitative_evaluations=_evaluations(findings),
        source_images=[
            SourceImageForMeasurementGroup(reference.SOPClassUID, reference.SOPInstanceUID)
        ],
    )


def _evaluations(findings: Findings) -> list[QualitativeEvaluation]:
    """The label, and how far the result is to be trusted."""
    pairs = [(codes.PRESENCE, codes.PRESENT if findings.label else codes.ABSENT)]
    if findings.quality is not None:
        pairs.append((codes.QUALITY, codes.QUALITIES[findings.quality]))
    pairs += [(codes.QUALITY_RULE, codes.own(rule, rule)) for rule in findings.quality_rules]
    pairs.append((codes.FORCED, codes.YES if findings.forced else codes.NO))
    pairs += [(codes.FLAG, codes.own(flag, flag)) for flag in findings.flags]
    return [QualitativeEvaluation(name, value) for name, value in pairs]


def _lung(
    header: Dataset,
    name: str,
    mask: NDArray[np.uint8],
    *,
    number: int,
    segmentation: Segmentation,
    findings: Findings,
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    """TID 1410 for one segment: its area in pixels, and in mm2 where a spacing is known."""
    segment = ReferencedSegmentationFrame(
        sop_class_uid=segmentation.SOPClassUID,
        sop_instance_uid=segmentation.SOPInstanceUID,
        frame_number=number,
        segment_number=number,
        source_image=SourceImageForSegmentation(header.SOPClassUID, header.SOPInstanceUID),
    )
    # PS3.3 table 10-3: not beside a segment's number, which says the same here.
    del segment[0].ReferencedSOPSequence[0].ReferencedFrameNumber
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(name, header, findings.algorithm),
        referenced_segment=segment,
        finding_type=codes.LUNGS[name],
        finding_category=codes.ANATOMICAL_STRUCTURE,
        algorithm_id=_algorithm(findings, in_full=False),
        measurements=_areas(header, mask),
    )


def _no_lung(reference: Dataset, findings: Findings) -> MeasurementsAndQualitativeEvaluations:
    """TID 1501 for the image as a whole: an area of nothing, since there is no empty segment."""
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking("lung", reference, findings.algorithm),
        finding_type=codes.LUNGS["lung"],
        finding_category=codes.ANATOMICAL_STRUCTURE,
        algorithm_id=_algorithm(findings, in_full=False),
        measurements=[Measurement(name=codes.AREA, value=0, unit=codes.PIXELS)],
        source_images=[
            SourceImageForMeasurementGroup(reference.SOPClassUID, reference.SOPInstanceUID)
        ],
    )


def _areas(header: Dataset, mask: NDArray[np.uint8]) -> list[Measurement]:
    """px always; mm2 with the source of the spacing as its method, never without one."""
    area_px = int(np.count_nonzero(mask))
    areas = [Measurement(name=codes.AREA, value=area_px, unit=codes.PIXELS)]
    spacing, source = spacing_mm(header)
    if spacing is not None:
        area_mm2 = round(area_px * spacing[0] * spacing[1], 1)
        areas.append(
            Measurement(
                name=codes.AREA, value=area_mm2, unit=codes.MM2, method=codes.SPACINGS[source]
            )
        )
    return areas


def _number(name: codes.Code, prob: float, *, method: codes.Code | None = None) -> Measurement:
    return Measurement(name=name, value=round(prob, 6), unit=codes.NO_UNITS, method=method)


def _tracking(name: str, source: Dataset, algorithm: Algorithm) -> TrackingIdentifier:
    """The same as of the segment of this name."""
    uid = algorithm.uid(f"track {name}", str(source.SOPInstanceUID))
    return TrackingIdentifier(uid=uid, identifier=name)


def _algorithm(findings: Findings, *, in_full: bool = True) -> AlgorithmIdentification:
    """TID 4019. The family is appended by hand, since highdicom 0.22 does not take it.

    The parameters stand once in a report, which saves a quarter of it and of the time it takes.
    """
    algorithm = findings.algorithm
    threshold_source = f"threshold_source={findings.threshold_source}"
    parameters = list(dict.fromkeys([*algorithm.parameters, threshold_source]))
    identification = AlgorithmIdentification(
        name=algorithm.name,
        version=algorithm.version,
        parameters=parameters if in_full else None,
    )
    identification.append(
        CodeContentItem(
            name=standard.DCM.AlgorithmFamily,
            value=codes.ARTIFICIAL_INTELLIGENCE,
            relationship_type=RelationshipTypeValues.HAS_CONCEPT_MOD,
        )
    )
    return identification


def _observer(algorithm: Algorithm) -> ObservationContext:
    """TID 1002: a device observes, identified by version and weights."""
    device = DeviceObserverIdentifyingAttributes(
        uid=algorithm.uid("device", ""),
        name=algorithm.name,
        manufacturer_name=OWN_MANUFACTURER,
        model_name=algorithm.name,
        serial_number=algorithm.weights_digest[:16],
    )
    context = ObserverContext(
        observer_type=standard.DCM.Device, observer_identifying_attributes=device
    )
    return ObservationContext(observer_device_context=context)


def _comment(segments: Mapping[str, NDArray[np.uint8]]) -> TextContentItem:
    """TID 1500 may be extended; a reader who sees only the text sees this."""
    found = {0: "No lung was found.", 1: "Left and right lung were not told apart."}
    text = f"For {RESEARCH_ONLY}. {found.get(len(segments), '')}".strip()
    return TextContentItem(
        name=codes.COMMENT, value=text, relationship_type=RelationshipTypeValues.CONTAINS
    )
