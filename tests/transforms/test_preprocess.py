import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, decollate_batch

from multimix_monai.data import ImageError
from multimix_monai.transforms import postprocessing, preprocessing

ODD_SIZES = [(37, 91), (91, 37), (33, 32), (224, 300), (512, 512), (1955, 1841)]
LARGE = pytest.param((4892, 4020), marks=pytest.mark.slow)


def thorax(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """An image (H, W) with two ellipses at different heights, and their mask."""
    y = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
    x = ((np.arange(width, dtype=np.float32) + 0.5) / width)[None]
    left = ((y - 0.5) / 0.35) ** 2 + ((x - 0.3) / 0.15) ** 2 < 1
    right = ((y - 0.45) / 0.33) ** 2 + ((x - 0.71) / 0.16) ** 2 < 1
    mask = (left | right).astype(np.uint8)
    return (0.3 + 0.2 * y + 0.1 * x + 0.4 * mask).astype(np.float32), mask


def packed(seg_logits: torch.Tensor) -> torch.Tensor:
    """What a network would put out: (1, S, S) -> (4, S, S)."""
    seg_logits = torch.as_tensor(seg_logits.numpy())
    zeros = torch.zeros_like(seg_logits)
    return torch.cat([seg_logits, zeros + 0.25, zeros - 1, zeros + 1])


def centroid(mask: np.ndarray) -> np.ndarray:
    return np.array([places.mean() for places in np.nonzero(mask)])


def test_a_mask_that_is_not_binary_says_how_much_of_a_pixel_is_lung() -> None:
    image, mask = thorax(150, 120)
    binary, soft = (
        preprocessing(image_size=64, keys=("image", "mask"), binary_masks=wanted)(
            {"image": image, "mask": mask}
        )["mask"]
        for wanted in (True, False)
    )
    between = (soft > 0.01) & (soft < 0.99)
    assert soft.min() >= 0 and soft.max() < 1 + 1e-5
    assert 0.02 < between.float().mean() < 0.3, "only the border"
    assert torch.equal(binary, (soft >= 0.5).to(binary))


@pytest.mark.parametrize("image_size", [96, 224])
@pytest.mark.parametrize("size", [*ODD_SIZES, LARGE])
def test_a_mask_returns_on_the_exact_grid_of_its_image(
    size: tuple[int, int], image_size: int
) -> None:
    image, mask = thorax(*size)
    chain = preprocessing(image_size=image_size, keys=("image", "mask"))
    item = chain({"image": image, "mask": mask})
    assert item["image"].shape == item["mask"].shape == (1, image_size, image_size)
    assert set(item["mask"].unique().tolist()) == {0, 1}
    item["pred"] = packed((item["mask"] * 2 - 1) * 8)
    result = postprocessing(preprocessing=chain)(item)
    back = result["pred"].numpy()[0]
    assert back.shape == result["saliency"].shape[1:] == size
    assert 2 * (back & mask).sum() / (back.sum() + mask.sum()) > 0.97
    coarser_pixel = max(1, max(size) / image_size)
    shift = np.abs(centroid(back) - centroid(mask)) / coarser_pixel
    assert shift.max() < 0.2, "half a pixel of either grid would be 0.5"


@pytest.mark.parametrize("size", [(37, 91), (300, 224), (1955, 1841)])
def test_a_coordinate_comes_back_without_a_shift(size: tuple[int, int]) -> None:
    chain = preprocessing(image_size=96)
    item = chain({"image": thorax(*size)[0]})
    columns = (torch.arange(96) + 0.5).expand(1, 96, 96)
    item["pred"] = torch.cat([columns, columns, columns, columns])
    back = postprocessing(preprocessing=chain)(item)["saliency"].numpy()[0, 0]
    content = round(size[1] * 96 / max(size))
    expected = (np.arange(size[1]) + 0.5) * content / size[1] + (96 - content) // 2
    inner = slice(size[1] // 10, -size[1] // 10)
    assert np.abs(back - expected)[inner].max() < 0.06


def test_the_aspect_ratio_stays_and_the_padding_is_even_and_zero() -> None:
    image = preprocessing(image_size=64)({"image": thorax(100, 50)[0]})["image"].as_tensor()[0]
    assert (image[:, :16] == 0).all() and (image[:, 48:] == 0).all()
    assert (image[32:, 16:48] > 0).all()


def test_exposure_and_bit_depth_drop_out() -> None:
    image = thorax(90, 80)[0]
    chain = preprocessing(image_size=64)
    reference = chain({"image": image})["image"].as_tensor()
    assert reference.min() == 0 and reference.max() == 1
    dark = chain({"image": image * 0.2 + 0.01})["image"].as_tensor()
    counts = chain({"image": (image * 4000 + 50).astype(np.uint16)})["image"].as_tensor()
    assert torch.allclose(dark, reference, atol=1e-5)
    assert torch.allclose(counts, reference, atol=2e-3)


def test_a_few_bright_pixels_do_not_darken_the_image() -> None:
    image = thorax(128, 128)[0]
    marked = image.copy()
    marked[:4, :8] = 5.0
    chain = preprocessing(image_size=128)
    difference = chain({"image": marked})["image"] - chain({"image": image})["image"]
    assert difference.as_tensor()[0, 8:].abs().max() < 0.05


def test_a_nearly_constant_image_is_refused() -> None:
    image = np.full((64, 64), 0.5, dtype=np.float32)
    image[3, 3] = 0.9
    with pytest.raises(ImageError, match="image: nearly constant, 99 % of its pixels"):
        preprocessing(image_size=32)({"image": image})


@pytest.mark.parametrize(("image_size", "use"), [(100, "96 or 128"), (0, "32 or 64")])
def test_a_size_that_the_network_cannot_take_is_refused(image_size: int, use: str) -> None:
    with pytest.raises(ValueError, match=f"positive multiple of 32: use {use}"):
        preprocessing(image_size=image_size)


def test_cases_of_different_sizes_make_a_batch_and_part_again() -> None:
    chain = preprocessing(image_size=64)
    sizes = [(40, 70), (300, 200)]
    cases = [{"image": thorax(*size)[0], "case": str(size)} for size in sizes]
    batch = next(iter(DataLoader(Dataset(cases, chain), batch_size=2)))
    assert batch["image"].shape == (2, 1, 64, 64)
    batch["pred"] = torch.stack([packed(image - 0.5) for image in batch["image"]])
    results = [postprocessing(preprocessing=chain)(item) for item in decollate_batch(batch)]
    assert [tuple(item["pred"].shape[1:]) for item in results] == sizes
    assert [item["case"] for item in results] == [str(size) for size in sizes]
