"""Path of data, first room: cases, where they come from, and how they are split."""

from .case import Case
from .datalist import Budget, build_datalist, load_datalist, load_part, write_datalist
from .images import ImageError, Radiograph, read_image, read_mask
from .keys import Keys
from .readers import READERS

__all__ = [
    "READERS",
    "Budget",
    "Case",
    "ImageError",
    "Keys",
    "Radiograph",
    "build_datalist",
    "load_datalist",
    "load_part",
    "read_image",
    "read_mask",
    "write_datalist",
]
