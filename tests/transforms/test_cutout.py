import numpy as np
import torch

from multimix_monai.transforms.cutout import Box, cutout, draw_boxes


def test_a_box_takes_its_images_mean_and_the_rest_stays() -> None:
    images = torch.rand(2, 1, 16, 16)
    box = Box(
        top=np.array([2, 0]),
        bottom=np.array([6, 16]),
        left=np.array([8, 3]),
        right=np.array([16, 4]),
    )
    painted = cutout(images, box=box)
    assert torch.allclose(painted[0, 0, 2:6, 8:16], images[0].mean())
    assert torch.allclose(painted[1, 0, :, 3], images[1].mean())
    assert (painted[0] != images[0]).sum() == 4 * 8
    assert (painted[1] != images[1]).sum() == 16
    assert torch.equal(painted[0, 0, :, :8], images[0, 0, :, :8])


def test_boxes_lie_on_the_image_and_grow_with_it() -> None:
    for image_side in (64, 224):
        box = draw_boxes(np.random.RandomState(0), 500, image_side=image_side, largest=0.5)
        for start, stop in ((box.top, box.bottom), (box.left, box.right)):
            assert ((start >= 0) & (start < stop) & (stop <= image_side)).all()
        heights = (box.bottom - box.top) / image_side
        assert 0.45 < heights.max() <= 0.51
        assert 0.15 < heights.mean() < 0.25
        assert len(set(zip(*box, strict=True))) > 400, "each image has its own"
