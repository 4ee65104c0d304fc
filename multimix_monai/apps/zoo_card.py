"""Apps: the model card, by the zoo's template, of a bundle that holds its package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

TAGS = "Classification, Segmentation, X-ray, Chest, Lungs, Pneumonia, Semi-supervised"
# Headings of the card -> level and name in docs/readme_template.md of the zoo. The others keep
# their names; their level is the template's: sections 2, subsections 4.
TEMPLATE = {
    "Model Overview": (2, "Model Description"),
    "Training configuration": (2, "System Configuration"),
    "Limits": (2, "Limitations"),
    "MONAI Bundle Commands": (2, "Additional Usage Steps"),
}
HEADING = re.compile(r"(#{1,3}) (.+)")
INSTALLED = (
    "The package `multimix-monai` must be installed; then the commands run from any folder, with "
    "the path of the configs before their names."
)
SETUP = """\
The package `multimix_monai` lies in the bundle's root. The commands run from any folder, with the
path of the configs before their names; the configs find the package beside them. Nothing of it is
installed; what it needs is

```
pip install {packages}
```

and, for results as DICOM SEG and SR and for compressed DICOM, `pip install highdicom imagecodecs`.
Where this page says `multimix COMMAND`, run `python -m multimix_monai.apps.cli COMMAND` in the
bundle's root. Evaluation takes the weights of the run in `--output_dir`, or where there are none
those of the bundle.

#### Execute federated learning, as a client of MONAI's `MonaiAlgo`:

```
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems

data = {{"dataset_dir": "DATA", "datalist": "datalist.json"}}
client = MonaiAlgo(BUNDLE, train_kwargs={{**data, "schedule_epochs": 20}}, eval_kwargs=dict(data))
client.initialize({{ExtraItems.CLIENT_NAME: "hospital-1"}})
```

`schedule_epochs` are the epochs of all rounds together. A client writes into `runs/CLIENT_TIME` and
takes its weights from the server alone: it never goes on from a checkpoint of its own."""


def zoo_card(card: str, metadata: Mapping[str, Any]) -> str:
    """The bundle's card (docs/README.md), as the zoo's template has it.

    Raises:
        ValueError: the card does not say, in the words that are replaced, what must be installed.
    """
    if INSTALLED not in card:
        raise ValueError(f"docs/README.md lacks the line that the zoo's card replaces: {INSTALLED}")
    text = card.replace(INSTALLED, SETUP.format(packages=" ".join(requirements(metadata))))
    head = [
        f"# {metadata['name']}\n",
        f"### **Authors**\n\n{metadata['authors']}\n",
        f"### **Tags**\n\n{TAGS}\n\n",
    ]
    return "\n".join(head) + "".join(_with_headings(text))


def requirements(metadata: Mapping[str, Any]) -> list[str]:
    """NAME==VERSION of all that metadata.json says is needed."""
    named = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
    packages = {name: metadata[key] for name, key in named.items()}
    packages |= metadata["required_packages_version"]
    return [f"{name}=={version}" for name, version in packages.items()]


def _with_headings(text: str) -> list[str]:
    """Lines with headings by the template; what stands between fences is left alone."""
    lines, fenced = [], False
    for line in text.splitlines(keepends=True):
        fenced ^= line.startswith("```")
        found = None if fenced else HEADING.fullmatch(line.strip())
        if found:
            level, name = TEMPLATE.get(found[2], (4 if len(found[1]) == 3 else 2, found[2]))
            line = f"{'#' * level} **{name}**\n"
        lines.append(line)
    return lines
