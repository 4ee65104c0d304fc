import numpy as np
import torch

from multimix_monai.transforms.cutout import Box, cutout, draw_box


def test_a_box_takes_the_mean_and_the_rest_stays() -> None:
    image = torch.rand(1, 16, 16)
    painted = cutout(image, box=Box(top=2, bottom=6, left=8, right=16))
    assert (painted[0, 2:6, 8:16] == image.mean()).all()
    assert (painted != image).sum() == 4 * 8
    assert torch.equal(painted[0, :, :8], image[0, :, :8])


def test_boxes_lie_on_the_image_and_grow_with_it() -> None:
    for image_side in (64, 224):
        random = np.random.RandomState(0)
        boxes = [draw_box(random, image_side=image_side, largest=0.5) for _ in range(500)]
        heights = np.array([box.bottom - box.top for box in boxes]) / image_side
        assert all(0 <= b.top < b.bottom <= image_side for b in boxes)
        assert all(0 <= b.left < b.right <= image_side for b in boxes)
        assert 0.45 < heights.max() <= 0.51
        assert 0.15 < heights.mean() < 0.25
