"""Path of data, first room: cases, where they come from, and how they are split."""

from .case import Case
from .images import ImageError, Radiograph, read_image, read_mask
from .keys import Keys
from .readers import READERS

__all__ = ["READERS", "Case", "ImageError", "Keys", "Radiograph", "read_image", "read_mask"]
