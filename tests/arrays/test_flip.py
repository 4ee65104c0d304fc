import numpy as np
import pytest

from multimix_monai.arrays.flip import mask_disagreement


def test_disagreement_is_one_minus_dice_and_0_where_both_are_empty() -> None:
    a, b = np.zeros((1, 3, 3), dtype=bool), np.zeros((1, 3, 3), dtype=bool)
    assert mask_disagreement(a, b) == 0
    a[0, 0, :3], b[0, 0, 1:3] = True, True
    assert mask_disagreement(a, b) == pytest.approx(1 - 4 / 5)
