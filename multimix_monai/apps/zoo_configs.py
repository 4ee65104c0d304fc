"""Apps: the bundle's configs for a folder that holds the package, which they find by themselves.

MONAI evaluates a config's import statements before anything else, while nothing of the folder is
on sys.path, and keeps what failed. So each becomes a component that waits for the key `package`,
which puts the bundle's root there, and so does every `_target_` in the package.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

PACKAGE = "multimix_monai"
IMPORT = re.compile(rf"\$import ({PACKAGE}[\w.]*)(?: as (\w+))?")

# The folder above the config that runs. MONAI hands no config its own place: the workflow that runs
# it knows its folder (run, MonaiAlgo), the functions that only read it know the file (ckpt_export,
# verify_net_in_out). Where neither is among the callers, the zoo's habit: the working folder.
ROOT = (
    "$next((str(root) for frame, _ in traceback.walk_stack(None)"
    " for known in [{**getattr(frame.f_locals.get('self'), '__dict__', {}), **frame.f_locals}]"
    " for name in ('config_root_path', 'config_file_') if known.get(name)"
    " for root in pathlib.Path(monai.utils.ensure_tuple(known[name])[0]).resolve().parents"
    f" if (root / '{PACKAGE}').is_dir()), '.')"
)
BEGIN = {
    "imports": ["$import os", "$import pathlib", "$import sys", "$import traceback"],
    "bundle_root": ROOT,
    "package": "$sys.path.insert(0, os.path.abspath(@bundle_root))",
}
# A federated client has a `run_name`, which MONAI gives it, and its weights from a server: it does
# not go on from what an earlier client left, and how weights that lie here were trained is nothing
# to it. What is downloaded is evaluated as it is.
OWN: Mapping[str, Mapping[str, Any]] = {
    "train.json": {
        "run_name": None,
        "output_dir": "$'runs/' + (@run_name or 'multimix')",
        "resume": "$@run_name is None",
    },
    "evaluate.json": {
        "ckpt_path": "$bundle.trained_or_own(@ckpt_dir, @bundle_root)",
        "used": "$None if @run_name else {'image_size': @image_size, 'percentiles': @percentiles,"
        " 'bridge': @bridge}",
    },
}


def portable_configs(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """File name -> config, made to find the package beside them; they may override each other.

    Raises:
        ValueError: a key that the zoo's configs set is not in the bundle's.
    """
    imported = (package_modules(config.get("imports", [])) for config in configs.values())
    names = "|".join(re.escape(name) for modules in imported for name in modules)
    name = re.compile(rf"(?<![\w.@#:'\"/])({names})(?=\.)")
    return {file: _portable(_own(file, config), name) for file, config in configs.items()}


def package_modules(imports: Iterable[str]) -> dict[str, str]:
    """Name in expressions -> module, of the import statements of the package."""
    found = (IMPORT.fullmatch(line) for line in imports)
    return {match[2] or match[1]: match[1] for match in found if match}


def _own(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    own = OWN.get(name, {})
    unknown = own.keys() - config.keys() - {"run_name"}
    if unknown:
        raise ValueError(f"{name} has no key {unknown.pop()!r} for the zoo to set: see OWN")
    return {**config, **own}


def _portable(config: Mapping[str, Any], name: re.Pattern[str]) -> dict[str, Any]:
    """The config with what it imports of the package as components. name: of such an import."""
    rest = {key: _waiting(value, name) for key, value in config.items() if key not in BEGIN}
    if "imports" not in config:
        return rest
    others = [line for line in config["imports"] if not IMPORT.fullmatch(line)]
    modules = {
        alias: {"_target_": "importlib.import_module", "_requires_": "@package", "name": module}
        for alias, module in package_modules(config["imports"]).items()
    }
    return {**BEGIN, "imports": [*BEGIN["imports"], *others], "modules": modules, **rest}


def _waiting(item: Any, name: re.Pattern[str]) -> Any:
    """The same with each component and each module of the package waiting for its place."""
    if isinstance(item, str):
        return name.sub(r"@modules#\1", item) if item.startswith("$") else item
    if isinstance(item, Mapping):
        inner = {key: _waiting(value, name) for key, value in item.items()}
        if not str(inner.get("_target_", "")).startswith(f"{PACKAGE}."):
            return inner
        return {"_target_": inner.pop("_target_"), "_requires_": "@package", **inner}
    return [_waiting(value, name) for value in item] if isinstance(item, list) else item
