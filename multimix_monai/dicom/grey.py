"""Path of data, from stored values to a picture in [0, 1]: which steps, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from multimix_monai.data.images import ImageError
from multimix_monai.dicom import luts
from multimix_monai.dicom.attributes import numbers, text
from multimix_monai.dicom.decode import Decoded, Stored
from multimix_monai.dicom.luts import Values

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MIN_CONTRAST = (
    0.005  # of the range: less between its dark and bright end, and a window shows nothing
)
_SAMPLE = 2**16  # pixels that are enough to judge contrast by
_TABLE = 2**16  # of more values, each pixel is computed for itself


@dataclass(frozen=True)
class Step:
    """One step of the chain: what it is called, and what it does to values of any shape."""

    name: str
    apply: Callable[[Values], Values]


def grey_picture(
    decoded: Decoded, dataset: Dataset, name: str, *, little_endian: bool
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Stored values (H, W) to float32 in [0, 1], bright = dense, and what was done.

    Modality LUT or rescale, then VOI LUT, window or, without either, the range that the stored
    bits allow, then polarity. Padding is background and counts in no range.

    Raises:
        ImageError: with reason bad_attributes or constant.

    Source: PS3.4 annex N.2.
    """
    stored = decoded.values
    padded = padding(stored, dataset)
    content = stored if padded is None else stored[~padded]
    _refuse_constant(content, name)
    sample = content.ravel()[:: -(-content.size // _SAMPLE)].astype(np.float64)
    try:
        modality = modality_step(dataset, sample, little_endian=little_endian)
    except ValueError as error:
        raise ImageError(
            f"{name}: its values cannot be told ({error}): export it again", "bad_attributes"
        ) from error
    before = [modality] if modality else []
    chosen, ignored = voi_step(dataset, _through(before, sample), little_endian=little_endian)
    chain = [*before, chosen or range_step(sample, before, bits=decoded.bits), *polarity(dataset)]
    picture = mapped(stored, chain)
    steps = [*ignored, *(step.name for step in chain)]
    if padded is not None:
        picture[padded] = 0
        steps.append("padding shown as background")
    return picture, tuple(steps)


def padding(stored: Stored, dataset: Dataset) -> NDArray[np.bool_] | None:
    """Which pixels are padding, (H, W); None if none is. Source: see `luts.padding_range`."""
    ends = luts.padding_range(dataset)
    if ends is None:
        return None
    padded = (stored >= ends[0]) & (stored <= ends[1])
    return padded if padded.any() else None


def modality_step(dataset: Dataset, sample: Values, *, little_endian: bool) -> Step | None:
    """Modality LUT, else rescale; None where there is nothing to do.

    Args:
        dataset: with Modality LUT Sequence, Rescale Slope and Intercept, or neither.
        sample: some of the stored values, padding left out.
        little_endian: order of bytes in LUT Data.

    Raises:
        ValueError: what is there cannot be understood.

    Source: PS3.3 C.11.1.
    """
    table = luts.table_of(dataset, "ModalityLUTSequence", little_endian=little_endian)
    if table:
        return Step("modality LUT", partial(luts.lookup, table=luts.placed(table, sample)))
    slope, intercept = luts.rescale_of(dataset)
    if (slope, intercept) == (1, 0):
        return None
    name = f"rescale {slope:g} x + {intercept:g}"
    return Step(name, partial(luts.rescale, slope=slope, intercept=intercept))


def voi_step(
    dataset: Dataset, sample: Values, *, little_endian: bool
) -> tuple[Step | None, list[str]]:
    """The first of VOI LUT and window that shows something, and what was ignored and why.

    Of the two the standard lets either be shown. The VOI LUT is taken: it is the curve with which
    its maker wanted the picture shown, where the window only stands in for it.

    Args:
        dataset: with VOI LUT Sequence, Window Center and Width, or neither.
        sample: some of the picture's values, after the modality step.
        little_endian: order of bytes in LUT Data.

    Source: PS3.3 C.11.2.
    """
    ignored: list[str] = []
    for what, make in (
        ("VOI LUT", partial(_voi_lut, sample=sample, little_endian=little_endian)),
        ("window", _window),
    ):
        try:
            step = make(dataset)
        except ValueError as error:
            ignored.append(f"{what} ignored ({error})")
            continue
        if step is not None and _contrast(step.apply(sample)) < MIN_CONTRAST:
            ignored.append(f"{step.name} ignored (leaves one grey level)")
        elif step is not None:
            return step, ignored
    return None, ignored


def range_step(sample: Values, before: Sequence[Step], *, bits: int) -> Step:
    """The range of the bits in use, after the steps before: what is shown without any window.

    Bits Stored (0028,0101) often says 16 where the detector gives 12. So the bits count that all
    but one pixel in a thousand need, at least 8: the scale goes by powers of two, never by the
    picture's own extremes.

    Args:
        sample: some of the stored values, padding left out.
        before: steps between these and the range.
        bits: Bits Stored, or the precision of the codestream.
    """
    low, high = (int(value) for value in np.percentile(sample, (0.1, 99.9)))
    used = max(min(8, bits), high.bit_length(), (-low - 1).bit_length() if low < 0 else 0)
    ends = (-(2**used) if low < 0 else 0, 2**used - 1)
    probe = np.rint(np.linspace(*ends, min(ends[1] - ends[0] + 1, _TABLE)))
    shown = _through(before, probe)
    bottom, top = float(shown.min()), float(shown.max())
    name = f"range of {used + (low < 0)} bits"
    return Step(name, partial(_to_unit, low=bottom, high=max(top, bottom + 1e-6)))


def polarity(dataset: Dataset) -> list[Step]:
    """An inversion, where low values are dense. Source: see `luts.is_inverted`."""
    why = luts.is_inverted(dataset)
    return [Step(f"inverted ({why})", _invert)] if why else []


def mapped(stored: Stored, chain: Sequence[Step]) -> NDArray[np.float32]:
    """Each pixel through the chain, rows by rows; by one table for all values if they are few."""
    low, high = min(0, int(stored.min())), int(stored.max())
    table = None
    if high - low < _TABLE:
        table = _through(chain, np.arange(low, high + 1, dtype=np.float64)).astype(np.float32)
    levels = np.empty(stored.shape, dtype=np.float32)
    blocks = min(64, len(stored))
    parts = (np.array_split(plane, blocks) for plane in (stored, levels))
    for values, out in zip(*parts, strict=True):
        if table is None:
            out[:] = _through(chain, values.astype(np.float64))
        else:
            table.take(np.subtract(values, low, dtype=np.int64), out=out, mode="clip")
    return levels


def _voi_lut(dataset: Dataset, *, sample: Values, little_endian: bool) -> Step | None:
    table = luts.table_of(dataset, "VOILUTSequence", little_endian=little_endian)
    if table is None:
        return None
    table = luts.placed(table, sample)
    top = 2 ** max(8, int(table.entries.max()).bit_length()) - 1
    name = "VOI LUT" + (" (not the window)" if text(dataset, "WindowCenter") else "")
    return Step(name, lambda values: _to_unit(luts.lookup(values, table), low=0, high=top))


def _window(dataset: Dataset) -> Step | None:
    window = luts.window_of(dataset)
    if window is None:
        return None
    count = len(numbers(dataset, "WindowCenter"))
    name = f"{window}" + (f" (first of {count})" if count > 1 else "")
    return Step(name, partial(luts.apply_window, window=window))


def _contrast(levels: Values) -> float:
    """What lies between the darkest and the brightest half per cent."""
    low, high = np.percentile(levels, (0.5, 99.5))
    return float(high - low)


def _through(chain: Sequence[Step], values: Values) -> Values:
    for step in chain:
        values = step.apply(values)
    return values


def _to_unit(values: Values, *, low: float, high: float) -> Values:
    return np.clip((values - low) / (high - low), 0, 1)


def _invert(levels: Values) -> Values:
    return 1 - levels


def _refuse_constant(content: Stored, name: str) -> None:
    if content.size == 0:
        raise ImageError(
            f"{name}: every pixel is padding, nothing to see: leave it out", "constant"
        )
    if content.min() == content.max():
        raise ImageError(
            f"{name}: every stored pixel is {content.flat[0]}, nothing to see: leave it out",
            "constant",
        )
