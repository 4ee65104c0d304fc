"""Path of data, from stored values to grey levels: the standard's chain of tables and formulae.

Each function maps values whatever their shape, so that a picture is mapped through one table of
all values that it can hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from multimix_monai.dicom.attributes import items, numbers, text, value

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Table:
    """A look-up table.

    Attributes:
        first: the value that the first entry is for; lower ones get the first entry too.
        entries: float64 (N,); values beyond the last get the last.
        bits: of the entries' range, which begins at 0.
    """

    first: int
    entries: NDArray[np.float64]
    bits: int


@dataclass(frozen=True)
class Window:
    """A window and its function: LINEAR, LINEAR_EXACT or SIGMOID."""

    center: float
    width: float
    function: str = "LINEAR"

    def __str__(self) -> str:
        shape = "" if self.function == "LINEAR" else f" {self.function}"
        return f"window {self.center:g}/{self.width:g}{shape}"


def padding_range(dataset: Dataset) -> tuple[float, float] | None:
    """Stored values that are no picture, both ends included; None without any.

    Pixel Padding Value (0028,0120) and Pixel Padding Range Limit (0028,0121), in either order.

    Source: PS3.3 C.7.5.1.1.2.
    """
    value_, limit = (numbers(dataset, f"PixelPadding{part}") for part in ("Value", "RangeLimit"))
    if len(value_) != 1:
        return None
    ends = (*value_, *(limit if len(limit) == 1 else ()))
    return min(ends), max(ends)


def rescale_of(dataset: Dataset) -> tuple[float, float]:
    """Rescale Slope (0028,1053) and Intercept (0028,1052); (1, 0) where they are absent or empty.

    Raises:
        ValueError: the slope is 0, or one of them is not one number.

    Source: PS3.3 C.11.1.
    """
    found = []
    for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)):
        given = numbers(dataset, keyword)
        if not given and text(dataset, keyword):
            raise ValueError(f"{keyword} is not a number")
        if len(given) > 1 and len(set(given)) > 1:
            raise ValueError(f"{keyword} has {len(given)} values")
        found.append(given[0] if given else default)
    if found[0] == 0:
        raise ValueError("RescaleSlope is 0")
    return found[0], found[1]


def rescale(values: Values, slope: float, intercept: float) -> Values:
    """Output = slope x stored + intercept. Source: PS3.3 C.11.1.1.2."""
    return values * slope + intercept


def table_of(dataset: Dataset, keyword: str, *, little_endian: bool) -> Table | None:
    """The first table of Modality LUT Sequence (0028,3000) or VOI LUT Sequence (0028,3010).

    LUT Descriptor (0028,3002) is the number of entries, 0 for 65536, the first value that is
    mapped, and the bits of the entries; LUT Data (0028,3006) holds one entry in 8 or 16 bits.

    Raises:
        ValueError: the descriptor or the data cannot be understood.

    Source: PS3.3 C.11.1.1.1 and C.11.2.1.1.
    """
    sequence = items(dataset, keyword)
    if not sequence:
        return None
    order = "<" if little_endian else ">"
    descriptor = _words(sequence[0], "LUTDescriptor", order)
    if len(descriptor) != 3:
        raise ValueError(f"LUTDescriptor has {len(descriptor)} values")
    count, first, bits = (int(n) for n in descriptor)
    count = count % 2**16 or 2**16
    data = _words(sequence[0], "LUTData", order)
    raw = value(sequence[0], "LUTData")
    if isinstance(raw, bytes) and len(raw) in (count, count + 1) and bits <= 8:
        data = np.frombuffer(raw, np.uint8)
    if not (1 <= bits <= 16 and 2 <= count <= len(data)):
        raise ValueError(f"{len(data)} entries of {bits} bits for a descriptor of {count}")
    return Table(first, np.asarray(data[:count], np.float64) % 2**16, bits)


def placed(table: Table, values: Values) -> Table:
    """The table as it lies on values: its first value, of 16 bits, signed or not.

    The standard gives it the representation of the values: Pixel Representation (0028,0103) before
    a modality LUT, that of the modality's output before a VOI LUT. Both readings differ by 2**16,
    so that the right one is where values are; it serves also where a writer took the other.

    Args:
        table: as it is written.
        values: some of those that will be looked up, padding left out.

    Source: PS3.3 C.11.1.1.1 and C.11.2.1.1.
    """
    word = table.first % 2**16
    readings = [replace(table, first=first) for first in (word, word - word // 2**15 * 2**16)]
    return max(readings, key=lambda reading: _held(reading, values))


def lookup(values: Values, table: Table) -> Values:
    """Values -> entries.

    Differs: from pydicom's apply_modality_lut and apply_voi, which overflow where a table of more
    than 256 entries has 8 bits.

    Source: PS3.3 C.11.1.1.1 and C.11.2.1.1.
    """
    place = np.clip(np.rint(values) - table.first, 0, len(table.entries) - 1)
    return table.entries[place.astype(np.int64)]


def window_of(dataset: Dataset) -> Window | None:
    """The first window: Window Center (0028,1050), Width (0028,1051), VOI LUT Function (0028,1056).

    Several are alternatives, of which the standard lets any be shown.

    Raises:
        ValueError: only half of it is there, the width is too small, or the function is unknown.

    Source: PS3.3 C.11.2.1.2 and C.11.2.1.3.
    """
    centers, widths = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    if not (text(dataset, "WindowCenter") or text(dataset, "WindowWidth")):
        return None
    if not centers or not widths:
        raise ValueError("center or width is not a number")
    window = Window(centers[0], widths[0], text(dataset, "VOILUTFunction") or "LINEAR")
    if window.function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise ValueError(f"function {window.function[:16]} is unknown")
    if window.width < 1 if window.function == "LINEAR" else window.width <= 0:
        raise ValueError(f"width {window.width:g} is too small")
    return window


def apply_window(values: Values, window: Window) -> Values:
    """Values -> [0, 1].

    LINEAR is ((x - (c - 0.5)) / (w - 1) + 0.5), LINEAR_EXACT ((x - c) / w + 0.5), each cut to
    [0, 1]; SIGMOID is 1 / (1 + exp(-4 (x - c) / w)).

    Source: PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2.
    """
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -80, 80)))
    if window.function == "LINEAR":
        center, width = center - 0.5, width - 1
    if width == 0:
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0, 1)


def is_inverted(dataset: Dataset) -> str:
    """Why low values are dense tissue, which the viewer shows white; "" if they are not.

    MONOCHROME1 shows the lowest value white. Presentation LUT Shape (2050,0020) INVERSE does the
    same to MONOCHROME2; the INVERSE that a MONOCHROME1 DX object must carry says the same once
    more and is no second inversion.

    Source: PS3.3 C.7.6.3.1.2, C.11.6.1.2 and C.8.11.3 (DX).
    """
    if text(dataset, "PhotometricInterpretation") == "MONOCHROME1":
        return "MONOCHROME1"
    return "Presentation LUT INVERSE" if text(dataset, "PresentationLUTShape") == "INVERSE" else ""


def _held(table: Table, values: Values) -> int:
    """How many values have an entry of their own."""
    last = table.first + len(table.entries) - 1
    return int(np.count_nonzero((values >= table.first) & (values <= last)))


def _words(item: Dataset, keyword: str, order: str) -> NDArray[Any]:
    """Numbers, or the 16 bit words of bytes (VR OW or UN)."""
    raw = value(item, keyword)
    if isinstance(raw, bytes):
        return np.frombuffer(raw[: len(raw) // 2 * 2], f"{order}u2")
    return np.array(numbers(item, keyword))
