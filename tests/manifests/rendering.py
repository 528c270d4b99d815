"""Kustomize, as this machine has it: kubectl's, its own program, or for want of both the library."""

import asyncio
import importlib
import shutil
import subprocess
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]  # as YAML has it; the readers beside this file know the shapes

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy" / "k8s"
OVERLAYS = ("local", "production")
TOOLS = (("kubectl", "kustomize"), ("kustomize", "build"))


class CannotRender(Exception):
    """Kustomize refused; its words say why."""


@cache
def _rendered(overlay: str) -> list[Manifest]:
    return objects(build(K8S / "overlays" / overlay))


def manifests(overlay: str) -> list[Manifest]:
    """Give an overlay's objects, anew each time, to look at or to break. Raises: CannotRender."""
    return deepcopy(_rendered(overlay))


def objects(text: str) -> list[Manifest]:
    """Read YAML of several documents."""
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def build(directory: Path) -> str:
    """Build a kustomization. Raises: CannotRender."""
    for tool in TOOLS:
        if shutil.which(tool[0]):
            done = subprocess.run([*tool, str(directory)], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise CannotRender(done.stderr)
            return done.stdout
    return build_with_library(directory)


def build_with_library(directory: Path) -> str:
    """Build a kustomization with pykustomize, which brings Kustomize's own Go code. Raises: CannotRender."""
    try:
        library: Any = importlib.import_module("pykustomize")
    except ModuleNotFoundError as error:
        raise CannotRender("Neither kubectl nor kustomize is here: install one, or run `make kustomize`.") from error
    try:
        return str(asyncio.run(library.build(str(directory))).yaml)
    except library.KustomizeError as error:
        raise CannotRender(str(error)) from error
