# Copyright (c) MONAI Consortium
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#     http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

import json
import os
import shutil
import tempfile
import unittest

import numpy as np
from monai.bundle import ConfigWorkflow
from PIL import Image

BUNDLE_ROOT = "models/multimix"
CONFIGS = os.path.join(BUNDLE_ROOT, "configs")
SMALL = {
    "bundle_root": BUNDLE_ROOT,
    "image_size": 64,
    "max_epochs": 1,
    "steps_per_epoch": 1,
    "val_interval": 1,
    "fused": False,
    "show_bar": False,
    "batch_sizes": {
        "mask_labelled": 1,
        "mask_unlabelled": 1,
        "label_labelled": 2,
        "label_unlabelled": 1,
    },
}
PARTS = {"training": 8, "validation": 4, "test": 4}


def check_workflow(workflow):
    workflow.initialize()
    missing = workflow.check_properties()
    if missing:
        raise ValueError(f"check properties for workflow failed: {missing}")
    workflow.run()
    workflow.finalize()


class TestMultiMix(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        os.makedirs(os.path.join(self.folder, "images"))
        rng = np.random.default_rng(0)
        datalist = {part: [self.case(part, i, rng) for i in range(n)] for part, n in PARTS.items()}
        with open(os.path.join(self.folder, "datalist.json"), "w") as file:
            json.dump(datalist, file)

    def tearDown(self):
        shutil.rmtree(self.folder)

    def case(self, part, number, rng):
        """Half of the cases are annotated in training, all elsewhere."""
        name = f"{part}_{number}"
        known = part != "training" or number % 2 == 0
        image = rng.integers(0, 256, size=(80, 72), dtype=np.uint8)
        Image.fromarray(image).save(os.path.join(self.folder, "images", f"{name}.png"))
        item = {"case": name, "source": "noise", "patient": name, "image": f"images/{name}.png"}
        if known:
            mask = np.zeros_like(image)
            mask[20:60, 10:60] = 255
            Image.fromarray(mask).save(os.path.join(self.folder, f"{name}_mask.png"))
            item |= {"mask": [f"{name}_mask.png"], "label": number // 2 % 2}
        return item

    def workflow(self, kind, *names, **override):
        return ConfigWorkflow(
            workflow_type=kind,
            config_file=[os.path.join(CONFIGS, name) for name in names],
            logging_file=os.path.join(CONFIGS, "logging.conf"),
            meta_file=os.path.join(CONFIGS, "metadata.json"),
            **override,
        )

    def test_train_eval_config(self):
        output = os.path.join(self.folder, "eval")
        override = {**SMALL, "dataset_dir": self.folder, "output_dir": output}
        check_workflow(self.workflow("train", "train.json", **override))
        self.assertTrue(os.path.isfile(os.path.join(output, "models", "model.pt")))
        # evaluate.json overrides train.json, thus the workflow is "train" rather than "eval"
        check_workflow(self.workflow("train", "train.json", "evaluate.json", **override))
        self.assertTrue(os.path.isfile(os.path.join(output, "evaluation", "metrics.json")))

    def test_infer_config(self):
        output = os.path.join(self.folder, "predictions")
        images = os.path.join(self.folder, "images")
        # noise is refused as no chest radiograph unless forced
        override = {"bundle_root": BUNDLE_ROOT, "dataset_dir": images, "output_dir": output}
        check_workflow(self.workflow("infer", "inference.json", force=True, **override))
        with open(os.path.join(output, "results.csv")) as file:
            self.assertEqual(len(file.readlines()), 1 + sum(PARTS.values()))


if __name__ == "__main__":
    unittest.main()
