"""Both recipes: every term by hand on a network of two numbers, and gradients on a tiny one."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multimix_monai.engines import DefaultRecipe, PaperRecipe, Teacher
from multimix_monai.engines.default_recipe import ramp_up
from multimix_monai.engines.recipe import Recipe, Terms, joint_forward, pseudo_label_monitors
from multimix_monai.networks import MultiMix, Prediction

RECIPES: list[type[Recipe]] = [PaperRecipe, DefaultRecipe]
STREAM_TERMS = {
    PaperRecipe: {
        "mask_labelled": "dice",
        "mask_unlabelled": "divergence",
        "label_labelled": "class",
        "label_unlabelled": "pseudo_label",
    },
    DefaultRecipe: {
        "mask_labelled": "mask",
        "mask_unlabelled": "mask_consistency",
        "label_labelled": "class",
        "label_unlabelled": "pseudo_label",
    },
}


class Linear(nn.Module):
    """Mask logit: the pixel times 1. Class logits: 0 and the image's mean times 1."""

    def __init__(self) -> None:
        super().__init__()
        self.mask, self.label = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))
        self.decoded: list[int] = []

    def forward(self, x: Tensor, *, decode_first: int | None = None) -> Prediction:
        n = len(x) if decode_first is None else decode_first
        self.decoded.append(n)
        mean = self.label * x.mean(dim=(1, 2, 3))
        classes = torch.stack([torch.zeros_like(mean), mean], dim=1)
        return Prediction(self.mask * x[:n], classes, x[:n].abs())


def image(*values: float) -> Tensor:
    """One image of 4x4 equal pixels for each value."""
    return torch.tensor(values)[:, None, None, None].expand(-1, 1, 4, 4).clone()


def batch() -> dict[str, dict[str, Tensor]]:
    unknown = torch.tensor([-1, -1])
    return {
        "mask_labelled": {"image": image(1.0), "mask": image(1.0)},
        "mask_unlabelled": {
            "image_weak": image(4.0),
            "image_strong": image(0.5),
            "hidden_label": unknown[:1],
        },
        "label_labelled": {"image": image(0.0, 2.0), "label": torch.tensor([0, 1])},
        "label_unlabelled": {
            "image_weak": image(5.0, 0.5),
            "image_strong": image(1.0, 3.0),
            "hidden_label": torch.tensor([0, 1]),
        },
    }


def terms_of(recipe: Recipe, given: dict, *, progress: float = 1.0) -> Terms:
    network = Linear()
    return recipe(network, Teacher(network), given, progress)


def floats(values: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in values.items()}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


CLASS = (math.log(2) + softplus(-2.0)) / 2
PSEUDO = softplus(-1.0) / 2  # of the two weak views only the first is sure, of class 1
DICE = 1 - 2 * sigmoid(1.0) / (sigmoid(1.0) + 1)


def test_the_papers_terms_by_hand() -> None:
    p, q = sigmoid(1.0), sigmoid(4.0)
    divergence = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    terms = terms_of(PaperRecipe(), batch())
    assert floats(terms.losses) == pytest.approx(
        {
            "class": CLASS,
            "pseudo_label": 0.25 * PSEUDO,
            "dice": 5 * DICE,
            "divergence": 0.01 * divergence,
        },
        rel=1e-4,
    )
    assert float(terms.total().detach()) == pytest.approx(sum(floats(terms.losses).values()))


def test_the_papers_divergence_is_not_zero_and_teaches_both_masks() -> None:
    network = Linear()
    terms = PaperRecipe(divergence_weight=1.0)(network, Teacher(network), batch(), 0.0)
    assert float(terms.losses["divergence"].detach()) > 0.1
    (grad,) = torch.autograd.grad(terms.losses["divergence"], network.mask)
    assert grad != 0


def test_of_two_views_it_compares_the_same_image() -> None:
    network = Linear()
    recipe = PaperRecipe(divergence_weight=1.0, divergence_of="views")
    terms = recipe(network, Teacher(network), batch(), 0.0)
    p, q = sigmoid(4.0), sigmoid(0.5)  # of the teacher's weak view, of the strong one
    expected = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert float(terms.losses["divergence"].detach()) == pytest.approx(expected, rel=1e-4)
    (grad,) = torch.autograd.grad(terms.losses["divergence"], network.mask)
    assert grad != 0
    with pytest.raises(ValueError, match="'pairs': use one of"):
        PaperRecipe(divergence_of="pairs")


def test_the_default_terms_by_hand() -> None:
    recipe = DefaultRecipe(
        pseudo_label_weight=0.5, mask_consistency_weight=0.3, mask_weight=2.0, align_classes=False
    )
    terms = terms_of(recipe, batch())
    assert floats(terms.losses) == pytest.approx(
        {
            "class": CLASS,
            "mask": 2 * (DICE + softplus(-1.0)),
            "pseudo_label": 0.5 * PSEUDO,
            "mask_consistency": 0.3 * softplus(-0.5),
        },
        rel=1e-4,
    )


@pytest.mark.parametrize(
    ("progress", "over", "expected"),
    [
        (0.0, 0.25, math.exp(-5)),
        (0.125, 0.25, math.exp(-1.25)),
        (0.25, 0.25, 1.0),
        (1.0, 0.25, 1.0),
        (0.0, 0.0, 1.0),
    ],
)
def test_the_unlabelled_terms_grow_in(progress: float, over: float, expected: float) -> None:
    assert ramp_up(progress, over=over) == pytest.approx(expected)
    recipe = DefaultRecipe(ramp_up=over, align_classes=False)
    now, later = (floats(terms_of(recipe, batch(), progress=p).losses) for p in (progress, 1.0))
    for name in ("pseudo_label", "mask_consistency"):
        assert now[name] == pytest.approx(expected * later[name], rel=1e-4)
    for name in ("class", "mask"):
        assert now[name] == later[name]


def test_a_square_of_another_image_brings_its_own_pseudo_mask() -> None:
    """One image is surely lung and one surely not; the student sees them and would agree."""
    given = batch()
    given["mask_unlabelled"] = {
        "image_weak": image(9.0, -9.0),
        "image_strong": image(9.0, -9.0),
        "hidden_label": torch.tensor([-1, -1]),
    }
    torch.manual_seed(0)
    terms = terms_of(DefaultRecipe(cutmix_prob=1.0), given)
    assert float(terms.losses["mask_consistency"].detach()) < 1e-3
    patched = {**given, "mask_unlabelled": {**given["mask_unlabelled"]}}
    patched["mask_unlabelled"]["image_strong"] = image(9.0, -9.0).flip(0)
    torch.manual_seed(0)
    against = terms_of(DefaultRecipe(cutmix_prob=1.0), patched)
    assert float(against.losses["mask_consistency"].detach()) > 1


def test_monitors_tell_how_many_pseudo_labels_there_are_and_how_many_are_right() -> None:
    terms = terms_of(PaperRecipe(), batch())  # sure of the first, class 1; its hidden label is 0
    assert floats(terms.monitors) == {"pseudo_label_rate": 0.5, "pseudo_label_accuracy": 0.0}
    monitors = floats(terms_of(DefaultRecipe(align_classes=False), batch()).monitors)
    assert monitors.pop("sure_pixels") == 1.0  # sigmoid(4) is over 0.95
    assert monitors == {"pseudo_label_rate": 0.5, "pseudo_label_accuracy": 0.0}


@pytest.mark.parametrize(
    ("hidden", "expected"),
    [
        ([0, 1, 1, 1], {"pseudo_label_rate": 0.75, "pseudo_label_accuracy": 2 / 3}),
        ([-1, 1, 0, -1], {"pseudo_label_rate": 0.75, "pseudo_label_accuracy": 1.0}),
        ([-1, -1, 1, -1], {"pseudo_label_rate": 0.75}),
    ],
)
def test_only_sure_predictions_with_a_hidden_label_are_checked(
    hidden: list[int], expected: dict[str, float]
) -> None:
    probs = torch.tensor([[0.99, 0.01], [0.05, 0.95], [0.6, 0.4], [0.9, 0.1]])
    given = pseudo_label_monitors(probs, torch.tensor(hidden), threshold_prob=0.9)
    assert floats(given) == pytest.approx(expected)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("missing", list(STREAM_TERMS[PaperRecipe]))
def test_a_missing_stream_leaves_its_term_out(recipe: type[Recipe], missing: str) -> None:
    given = batch()
    del given[missing]
    names = set(STREAM_TERMS[recipe].values()) - {STREAM_TERMS[recipe][missing]}
    if recipe is PaperRecipe and missing == "mask_labelled":
        names.remove("divergence")
    assert set(terms_of(recipe(), given).losses) == names


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("only", ["mask_labelled", "label_labelled"])
def test_one_annotated_stream_is_enough(recipe: type[Recipe], only: str) -> None:
    terms = terms_of(recipe(), {only: batch()[only]})
    assert list(terms.losses) == [STREAM_TERMS[recipe][only]]
    assert float(terms.total().detach()) > 0


def test_only_what_reaches_a_mask_loss_is_decoded() -> None:
    network = Linear()
    DefaultRecipe()(network, Teacher(network), batch(), 1.0)
    assert network.decoded == [2, 1]  # live; teacher, all weak views in one pass


def test_a_joint_pass_gives_each_stream_its_own_logits() -> None:
    network = Linear()
    out = joint_forward(
        network, decoded={"a": image(1.0), "b": image(2.0, 3.0)}, classified={"c": image(4.0, 5.0)}
    )
    assert {n: x[:, 0, 0, 0].tolist() for n, x in out.seg_logits.items()} == {"a": [1], "b": [2, 3]}
    assert {n: x[:, 1].tolist() for n, x in out.class_logits.items()} == {"c": [4, 5]}
    assert network.decoded == [3]


def test_classes_are_aligned_with_the_labelled_ones() -> None:
    recipe = DefaultRecipe()
    given = batch()
    given["label_labelled"]["label"] = torch.tensor([0, 0])
    for _ in range(300):
        terms = terms_of(recipe, given)
    assert recipe.alignment.target[0] > 0.95
    # Class 1 is foreseen oftener than there is any: the sure prediction is no longer one.
    assert float(terms.monitors["pseudo_label_rate"]) < 0.6
    assert set(recipe.state_dict()) == {"alignment.target", "alignment.running"}


def test_smoothed_labels_cost_something_even_if_sure() -> None:
    given: dict[str, Any] = {
        "label_labelled": {"image": image(50.0), "label": torch.tensor([1])},
    }
    sharp = terms_of(DefaultRecipe(), given).losses["class"]
    smooth = terms_of(DefaultRecipe(label_smoothing=0.1), given).losses["class"]
    assert float(sharp.detach()) == 0
    assert float(smooth.detach()) == pytest.approx(0.05 * 50)


def tiny_batch() -> dict[str, dict[str, Tensor]]:
    torch.manual_seed(1)
    x = torch.rand(6, 2, 1, 32, 32)
    hidden = torch.tensor([-1, -1])
    return {
        "mask_labelled": {"image": x[0], "mask": (x[0] > 0.5).float()},
        "mask_unlabelled": {"image_weak": x[1], "image_strong": x[2], "hidden_label": hidden},
        "label_labelled": {"image": x[3], "label": torch.tensor([0, 1])},
        "label_unlabelled": {"image_weak": x[4], "image_strong": x[5], "hidden_label": hidden},
    }


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_no_gradient_reaches_the_teacher(recipe: type[Recipe], decay: float) -> None:
    torch.manual_seed(0)
    network = MultiMix(widths=(2, 4, 4, 8, 8)).train()
    teacher = Teacher(network, decay=decay)
    inputs = tiny_batch()
    for name in ("mask_unlabelled", "label_unlabelled"):
        inputs[name]["image_weak"].requires_grad_(True)
    settings = {"threshold_prob": 0.0}
    if recipe is DefaultRecipe:
        settings["mask_threshold_prob"] = 0.5
    recipe(**settings)(network, teacher, inputs, 1.0).total().backward()
    assert inputs["label_unlabelled"]["image_weak"].grad is None
    if recipe is DefaultRecipe:  # the paper's masks are learnt on the weak view itself
        assert inputs["mask_unlabelled"]["image_weak"].grad is None
    if decay:
        assert all(p.grad is None for p in teacher.network.parameters())
    trained = [p for p in network.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in trained)
    assert network.training


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_step_down_the_gradient_lowers_the_loss(recipe: type[Recipe]) -> None:
    torch.manual_seed(0)
    network = MultiMix(widths=(2, 4, 4, 8, 8), dropout_prob=0.0).train()
    teacher = Teacher(network, decay=0.99)
    inputs, loss = tiny_batch(), recipe()
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=0.01)
    totals = []
    for step in range(1, 16):
        total = loss(network, teacher, inputs, 0.0).total()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        teacher.update(step)
        totals.append(float(total.detach()))
    assert totals[-1] < 0.9 * totals[0]
