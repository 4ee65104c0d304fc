"""Path of data, first stop: the one name that each item of a case has in every dictionary."""

CLASSES = ("normal", "pneumonia")  # by label


class Keys:
    """Names of a case's items, from the datalist to the results."""

    CASE = "case"  # identifier, unique within its source
    SOURCE = "source"  # the dataset that the case comes from
    PATIENT = "patient"  # key by which cases are split and bootstrapped
    IMAGE = "image"  # path, then (1, H, W) float in [0, 1]
    PICTURE = "picture"  # the image as stored in uint8 (H, W), to draw on
    MASK = "mask"  # paths, then (1, H, W), 1 is lung
    LABEL = "label"  # 0 normal, 1 pneumonia
    HIDDEN_MASK = "hidden_mask"  # known but withheld from training
    HIDDEN_LABEL = "hidden_label"  # known but withheld from training: monitors pseudo-labels
    SPACING = "spacing_mm"  # (row, column) or absent
    IMAGE_WEAK = "image_weak"
    IMAGE_STRONG = "image_strong"
    PRED = "pred"  # network output, then the mask on the image's own grid
    PROBS = "probs"  # (classes,), sums to 1, calibrated where a calibration is known
    RAW_PROBS = "raw_probs"  # (classes,), before calibration
    SALIENCY = "saliency"  # (1, H, W), at least 0
    FLAGS = "flags"  # codes that a reader of the result should know
    FRONTAL = "frontal"  # whether the picture is a frontal chest radiograph, by the picture itself
    QUALITY = "quality"  # measures of a result, and the rules that fired
    ERROR = "error"  # of a case that could not be read or judged, in place of its image
