#!/usr/bin/env bash
# Makes the environment of MONAI Label for tests/server, as `multimix label` makes that of a user.
set -euo pipefail
cd "$(dirname "$0")/../.."

environment=${1:-.venv-label}
"${PYTHON:-python3}" -m multimix_monai.apps.cli label --prepare-only --environment "$environment"

# A registry's torchvision may be built for CUDA beside a torch without it; then it lacks operators
# that nobody here calls. Users have matching builds, so this is for the tests alone.
label=$environment/bin/python
"$label" -c 'import torchvision' 2>/dev/null && exit
packages=$("$label" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cat > "$packages/declared_torchvision.py" <<'PYTHON'
"""For tests only: declares the operators of torchvision that a torch without CUDA lacks."""

import sys


class Declares:
    def find_spec(self, name, path=None, target=None):
        if name != "torchvision":
            return None
        sys.meta_path.remove(self)
        from torch.library import Library

        self.library = Library("torchvision", "DEF")
        self.library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        self.library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        declared.append(self)  # operators go with their library
        return None


declared = []
sys.meta_path.insert(0, Declares())
PYTHON
echo 'import declared_torchvision' > "$packages/declared_torchvision.pth"
"$label" -c 'import torchvision'
