#!/usr/bin/env python3
"""Makes deploy/kustomize of the chart: `overlays.py` writes it, helm must be in PATH. What differs between them stands in its values/.

The base is what the chart renders of values/base.yaml; an overlay is what more it renders, and a patch for each object that is
another one there; so is a component. Configurations are files of a generator, so that pods are replaced when one changes. The component of
the dashboards lies beside their files, in the chart.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/starling"
FOLDER = ROOT / "deploy/kustomize"
NAMESPACE = "chat"
OVERLAYS = ("dev", "prod")
# What may be added to the base, or to an overlay of its configuration.
COMPONENTS = ("api",)
# An overlay of nothing: it has no object in common with the base.
ALONE = "embedded"
MADE = "# Made of the chart by `make kustomize`: change ../values or the chart instead.\n"
MADE_FOLDERS = ("base", "components", "overlays")
HELMS = ("app.kubernetes.io/managed-by", "helm.sh/chart")


def rendered(*values):
    """The chart's objects for these values, without what is Helm's own."""
    files = [argument for value in values for argument in ("-f", FOLDER / f"values/{value}.yaml")]
    command = ["helm", "template", "starling", CHART, "-n", NAMESPACE, *files]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    objects = [one for one in yaml.safe_load_all(done.stdout) if one]
    return [plain(one) for one in objects if not is_hook(one)]


def is_hook(one):
    return any(key.startswith("helm.sh/hook") for key in one["metadata"].get("annotations", {}))


def plain(one):
    """Without Helm's labels, and without the checksum that replaces pods: names of configurations do that here."""
    for metadata in metadatas(one):
        for label in HELMS:
            metadata.get("labels", {}).pop(label, None)
        metadata.get("annotations", {}).pop("checksum/config", None)
        if metadata.get("annotations") == {}:
            del metadata["annotations"]
    return one


def metadatas(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "metadata" and isinstance(inner, dict):
                yield inner
            yield from metadatas(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from metadatas(inner)


def key(one):
    return one["kind"], one["metadata"]["name"]


def is_configuration(one):
    return one["kind"] == "ConfigMap" and set(one.get("data", {})) == {"starling.toml"}


def pointer(*path):
    """RFC 6901."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def operations(before, after, *path):
    """What makes one of the other (RFC 6902); a list of another length is replaced as a whole."""
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [one for at, pair in enumerate(zip(before, after)) for one in operations(*pair, *path, at)]
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if before == after else [{"op": "replace", "path": pointer(*path), "value": after}]
    found = []
    for name in sorted({*before, *after}):
        if name not in after:
            found.append({"op": "remove", "path": pointer(*path, name)})
        elif name not in before:
            found.append({"op": "add", "path": pointer(*path, name), "value": after[name]})
        else:
            found += operations(before[name], after[name], *path, name)
    return found


COMPONENT = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}


class Dumper(yaml.SafeDumper):
    """Writes several lines as several lines."""


def lines(dumper, value):
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


Dumper.add_representer(str, lines)


def text(value):
    return text_of_all([value])


def write(folder, objects, kustomization):
    """Objects by kind, one file each, and what names them."""
    folder.mkdir(parents=True)
    kinds = {}
    for one in objects:
        if not is_configuration(one):
            kinds.setdefault(one["kind"].lower() + ".yaml", []).append(one)
    for name, those in kinds.items():
        (folder / name).write_text(MADE + text_of_all(those))
    resources = kustomization.pop("resources", []) + sorted(kinds)
    said = COMPONENT if folder.parent.name == "components" else {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    whole = said | ({"resources": resources} if resources else {}) | kustomization
    (folder / "kustomization.yaml").write_text(MADE + text(whole))


def text_of_all(objects):
    return yaml.dump_all(objects, Dumper=Dumper, sort_keys=False, width=130, allow_unicode=True)


def generator(folder, objects, behavior):
    """Configurations as files. Their labels are those of the base."""
    made = []
    for one in filter(is_configuration, objects):
        name = one["metadata"]["name"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.toml").write_text(one["data"]["starling.toml"])
        said = {"name": name, "behavior": behavior, "files": [f"starling.toml={name}.toml"]}
        made.append(said | {"options": {"labels": one["metadata"]["labels"]}})
    return {"configMapGenerator": made} if made else {}


def base(folder, values):
    objects = rendered(values)
    scratch = folder.parent / f".{folder.name}"
    generators = generator(scratch, objects, "create")
    write(folder, objects, generators)
    for file in scratch.glob("*.toml"):
        file.rename(folder / file.name)
    scratch.rmdir()
    return objects


def overlay(folder, name, below, resources=("../../base",)):
    objects = {key(one): one for one in rendered("base", name)}
    before = {key(one): one for one in below}
    patches = []
    for which, one in before.items():
        if which not in objects:
            gone = {"apiVersion": one["apiVersion"], "kind": one["kind"], "metadata": {"name": which[1]}, "$patch": "delete"}
            patches.append({"patch": text(gone)})
        elif not is_configuration(one) and (changes := operations(one, objects[which])):
            patches.append({"target": {"kind": which[0], "name": which[1]}, "patch": text(changes)})
    new = [one for which, one in objects.items() if which not in before]
    changed = [one for which, one in objects.items() if which in before and one != before[which]]
    scratch = folder.parent / f".{name}"
    generators = generator(scratch, changed, "replace")
    write(folder, new, {"resources": list(resources)} | generators | ({"patches": patches} if patches else {}))
    for file in scratch.glob("*.toml"):
        file.rename(folder / file.name)
    if scratch.exists():
        scratch.rmdir()


def make(folder):
    below = base(folder / "base", "base")
    for name in OVERLAYS:
        overlay(folder / "overlays" / name, name, below)
    for name in COMPONENTS:
        overlay(folder / "components" / name, name, below, ())
    base(folder / "overlays" / ALONE, ALONE)


def main():
    with tempfile.TemporaryDirectory() as folder:
        make(pathlib.Path(folder))
        for made in MADE_FOLDERS:
            shutil.rmtree(FOLDER / made, ignore_errors=True)
            shutil.copytree(pathlib.Path(folder, made), FOLDER / made)


if __name__ == "__main__":
    main()
