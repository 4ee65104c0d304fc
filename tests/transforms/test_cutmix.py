"""Squares change places between neighbours, and what a teacher says of them goes along."""

import torch

from multimix_monai.transforms.cutmix import LARGEST, draw_patches, mixed


def numbered(n: int, *, side: int = 32) -> torch.Tensor:
    return torch.arange(float(n))[:, None, None, None].expand(n, 1, side, side).clone()


def test_each_square_comes_from_the_image_before() -> None:
    patches = torch.zeros(3, 1, 32, 32, dtype=torch.bool)
    patches[1, :, 4:9, 6:12] = True
    result = mixed(numbered(3), patches)
    assert (result[1, 0, 4:9, 6:12] == 0).all()
    assert int((result[1] == 0).sum()) == 5 * 6
    assert torch.equal(result[[0, 2]], numbered(3)[[0, 2]])


def test_squares_are_drawn_by_torchs_seed_within_their_size() -> None:
    torch.manual_seed(0)
    first = draw_patches(numbered(200), prob=0.5)
    torch.manual_seed(0)
    assert torch.equal(first, draw_patches(numbered(200), prob=0.5))
    assert not torch.equal(first, draw_patches(numbered(200), prob=0.5))
    areas = first.float().mean(dim=(1, 2, 3))
    assert 0.4 < float((areas > 0).float().mean()) < 0.6
    assert float(areas.max()) <= (LARGEST + 1 / 32) ** 2


def test_at_probability_0_nothing_is_drawn() -> None:
    assert not draw_patches(numbered(20), prob=0.0).any()
