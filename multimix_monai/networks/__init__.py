"""Networks: encoder, saliency without autograd, decoder, and MultiMix, which joins them."""

from multimix_monai.networks.fused import fuse
from multimix_monai.networks.multimix import MultiMix, Prediction
from multimix_monai.networks.packed import PackedMultiMix, pack
from multimix_monai.networks.saliency import saliency

__all__ = ["MultiMix", "PackedMultiMix", "Prediction", "fuse", "pack", "saliency"]
