"""Engines: the network's predictions of a batch of cases, and its checks, without torch.

What `MultiMixEvaluator` with `FrontalCheck` and `FlipCheck` does, of arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimix_monai.arrays.flip import flip_measures
from multimix_monai.arrays.frontal import FrontalJudge
from multimix_monai.data.keys import Keys
from multimix_monai.engines.cases import without_error
from multimix_monai.engines.failure import failure_of

Case = dict[str, Any]
Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class PredictCases:
    """Batches of prepared cases get their packed predictions; one that fails gets its error.

    Attributes:
        network: images (B, 1, S, S) -> packed predictions (B, 1 + 1 + classes, S, S).
        frontal: says whether they are frontal chest radiographs.
        threshold_prob: of the lung mask, for the check by a flip.
    """

    network: Network
    frontal: FrontalJudge
    threshold_prob: float

    def __call__(self, cases: list[Case]) -> list[Case]:
        """The batch in its order, also those that had an error before."""
        found = iter(self._together_or_each(without_error(cases)))
        return [case if Keys.ERROR in case else next(found) for case in cases]

    def _together_or_each(self, cases: list[Case]) -> list[Case]:
        try:
            return self._predicted(cases) if cases else []
        except Exception as error:
            if len(cases) == 1:
                return [{**cases[0], Keys.ERROR: failure_of(error)}]
            return [found for case in cases for found in self._together_or_each([case])]

    def _predicted(self, cases: list[Case]) -> list[Case]:
        images = np.stack([case[Keys.IMAGE].pixels for case in cases])[:, None]
        packed, flipped = np.split(self.network(np.concatenate([images, images[..., ::-1]])), 2)
        verdicts = self.frontal(images[:, 0], packed[:, 0])
        return [
            {
                **case,
                Keys.PRED: a.copy(),  # a slice would hold the whole batch
                Keys.FRONTAL: verdict,
                Keys.QUALITY: {"measures": self._measures(a, b)},
            }
            for case, a, b, verdict in zip(cases, packed, flipped, verdicts, strict=True)
        ]

    def _measures(self, packed: NDArray[np.float32], flipped: NDArray[Any]) -> dict[str, float]:
        classes = len(packed) - 2
        return flip_measures(
            packed, flipped, threshold_prob=self.threshold_prob, num_classes=classes
        )
