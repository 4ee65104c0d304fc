import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.data import MetaTensor

from multimix_monai.transforms.batch import as_batch, change, spread


def test_a_batch_becomes_plain_float32() -> None:
    batch = as_batch(MetaTensor(torch.ones(2, 1, 8, 8, dtype=torch.float64)))
    assert type(batch) is torch.Tensor and batch.dtype == torch.float32


@pytest.mark.parametrize("shape", [(2, 1, 40, 32), (1, 32, 32)])
def test_what_is_no_batch_of_preprocessed_images_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\): put `preprocessing` before it and stack its images"):
        as_batch(torch.rand(shape))


def test_only_those_taken_are_changed_each_by_its_amount() -> None:
    images = torch.arange(5.0)[:, None, None, None].expand(5, 1, 2, 2).clone()
    amounts = np.array([10.0, 20, 30, 40, 50]).reshape(5, 1, 1, 1)
    change(images, np.array([True, False, False, True, False]), torch.add, amounts)
    assert images[:, 0, 0, 0].tolist() == [10, 1, 2, 43, 4]


def test_where_none_is_taken_nothing_is_called() -> None:
    change(torch.ones(2, 1, 2, 2), np.zeros(2, dtype=bool), lambda images: 1 / 0)


@pytest.mark.parametrize(("mode", "align_corners"), [("bicubic", False), ("bilinear", True)])
def test_spreading_is_what_torch_interpolates(mode: str, align_corners: bool) -> None:
    coarse = torch.rand(3, 2, 6, 6)
    expected = F.interpolate(coarse, size=(50, 50), mode=mode, align_corners=align_corners)
    spread_out = spread(coarse, side=50, mode=mode, align_corners=align_corners)
    assert torch.allclose(spread_out, expected, atol=1e-5)
