#!/usr/bin/env python3
"""An OCI image layout out of one static program, without an engine: the same bytes from the same program, whenever it is made.

  oci.py pack PROGRAM FOLDER    writes the layout; SOURCE_DATE_EPOCH says when it was made (0)
  oci.py check FOLDER           says what is wrong with a layout, or nothing
  oci.py unpack FOLDER ROOT     its files, below ROOT

What the image is stands in deploy/docker/Dockerfile alone: its last stage is read from there.
"""

import gzip
import hashlib
import io
import json
import os
import re
import shlex
import sys
import tarfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
OWNER = 65532
MACHINES = {62: "amd64", 183: "arm64"}  # e_machine of ELF
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def instructions():
    """Those of the Dockerfile's last stage, with lines that go on joined."""
    text = (TOP / "deploy/docker/Dockerfile").read_text().replace("\\\n", " ")
    last = re.split(r"^FROM .*$", text, flags=re.M)[-1]
    return [line.split(None, 1) for line in last.splitlines() if line and not line.startswith("#")]


def settings():
    """What the Dockerfile says of the image, as the image's configuration names it."""
    of = {}
    for name, rest in instructions():
        match name:
            case "USER":
                of["User"] = rest
            case "WORKDIR":
                of["WorkingDir"] = rest
            case "EXPOSE":
                of["ExposedPorts"] = {f"{port}/tcp": {} for port in rest.split()}
            case "VOLUME":
                of["Volumes"] = {path: {} for path in rest.split()}
            case "ENTRYPOINT":
                of["Entrypoint"] = json.loads(rest)
            case "CMD":
                of["Cmd"] = json.loads(rest)
            case "LABEL":
                of["Labels"] = dict(pair.split("=", 1) for pair in shlex.split(rest))
            case "COPY":
                pass
            case other:
                sys.exit(f"the Dockerfile says {other}, which is not known here")
    return of


def version():
    return re.search(r'^version = "(.*)"', (TOP / "Cargo.toml").read_text(), re.M).group(1)


def machine(program):
    """Of a static ELF program; anything else would not run in an empty image."""
    head = program[:64]
    if head[:4] != b"\x7fELF" or head[4] != 2:
        sys.exit("not a 64-bit ELF program")
    return MACHINES[int.from_bytes(head[18:20], "little")]


def is_static(program):
    """Whether it asks for no loader: no PT_INTERP among its program headers."""
    at, size, count = (int.from_bytes(program[a:b], "little") for a, b in ((32, 40), (54, 56), (56, 58)))
    kinds = (int.from_bytes(program[at + n * size :][:4], "little") for n in range(count))
    return 3 not in kinds


def layer(program, epoch):
    """The files as a tar: in a set order, of one time, owned by numbers."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:

        def add(name, mode, content=None, owner=0):
            entry = tarfile.TarInfo(name)
            entry.mtime, entry.mode, entry.uid, entry.gid = epoch, mode, owner, owner
            entry.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            entry.size = len(content or b"")
            tar.addfile(entry, io.BytesIO(content or b""))

        for folder in ("etc", "etc/ssl", "etc/ssl/certs"):
            add(folder, 0o755)
        add("etc/ssl/certs/ca-certificates.crt", 0o644, AUTHORITIES.read_bytes())
        add("starling", 0o755, program)
        for folder in ("var", "var/lib"):
            add(folder, 0o755)
        add("var/lib/starling", 0o755, owner=OWNER)
    return out.getvalue()


def zipped(data):
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=out, mtime=0) as file:
        file.write(data)
    return out.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def compact(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def pack(program, folder):
    epoch, program = int(os.environ.get("SOURCE_DATE_EPOCH", "0")), Path(program).read_bytes()
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
    folder, architecture = Path(folder), machine(program)
    (folder / "blobs/sha256").mkdir(parents=True)

    def blob(kind, data):
        (folder / "blobs/sha256" / digest(data).removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": kind, "digest": digest(data), "size": len(data)}

    files = layer(program, epoch)
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": made,
        "config": settings(),
        "rootfs": {"type": "layers", "diff_ids": [digest(files)]},
        "history": [{"created": made, "created_by": "make image-oci"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": blob(CONFIG, compact(config)),
        "layers": [blob(LAYER, zipped(files))],
    }
    described = blob(MANIFEST, compact(manifest)) | {
        "platform": {"architecture": architecture, "os": "linux"},
        "annotations": {"org.opencontainers.image.ref.name": version()},
    }
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [described]}
    (folder / "index.json").write_bytes(compact(index))
    (folder / "oci-layout").write_bytes(compact({"imageLayoutVersion": "1.0.0"}))


class Layout:
    """A layout as anybody may have written it: what is read is checked, and what is wrong noted."""

    def __init__(self, folder):
        self.folder, self.wrong, self.used = Path(folder), [], set()

    def expect(self, holds, what):
        if not holds:
            self.wrong.append(what)

    def blob(self, described, kind):
        """The bytes that a descriptor names (image-spec, descriptor.md)."""
        name = str(described.get("digest", ""))
        self.expect(described.get("mediaType") == kind, f"{name} is {described.get('mediaType')}, not {kind}")
        if not re.fullmatch("sha256:[0-9a-f]{64}", name):
            self.wrong.append(f"{name!r} is not a digest")
            return b""
        path = self.folder / "blobs/sha256" / name.removeprefix("sha256:")
        data = path.read_bytes() if path.is_file() else b""
        self.used.add(path.name)
        self.expect(described.get("size") == len(data), f"{name} has {len(data)} bytes, not {described.get('size')}")
        self.expect(digest(data) == name, f"{name} is {digest(data)}")
        return data

    def parsed(self, described, kind):
        try:
            return json.loads(self.blob(described, kind))
        except ValueError as error:
            self.wrong.append(f"{kind} is not JSON: {error}")
            return {}

    def read(self):
        """The configuration, and the tar of each layer."""
        marker = json.loads((self.folder / "oci-layout").read_bytes())
        self.expect(marker == {"imageLayoutVersion": "1.0.0"}, f"oci-layout says {marker}")
        index = json.loads((self.folder / "index.json").read_bytes())
        self.expect(index.get("schemaVersion") == 2, "index.json is not of schema 2")
        self.expect(index.get("mediaType") in (None, INDEX), "index.json is no index")
        self.expect(len(index.get("manifests", [])) == 1, "there is not one manifest")
        manifest = self.parsed(index["manifests"][0], MANIFEST)
        self.expect(manifest.get("schemaVersion") == 2, "the manifest is not of schema 2")
        self.expect(manifest.get("layers"), "the manifest names no layer")
        config = self.parsed(manifest.get("config", {}), CONFIG)
        tars = [gzip.decompress(self.blob(one, LAYER)) for one in manifest.get("layers", [])]
        self.about(config, index["manifests"][0], tars)
        there = {path.name for path in (self.folder / "blobs/sha256").iterdir()}
        self.expect(there == self.used, f"blobs that nothing names: {there - self.used}")
        return config, tars

    def about(self, config, described, tars):
        """image-spec, config.md: what must be there, and what of it must fit the layers."""
        for key in ("architecture", "os", "rootfs"):
            self.expect(key in config, f"the configuration lacks {key}")
        platform = described.get("platform", {})
        for key in ("architecture", "os"):
            self.expect(platform.get(key) == config.get(key), f"the index and the configuration differ in {key}")
        rootfs = config.get("rootfs", {})
        self.expect(rootfs.get("type") == "layers", "rootfs is not of layers")
        self.expect(rootfs.get("diff_ids") == [digest(tar) for tar in tars], "diff_ids are not those of the layers")
        self.expect(config.get("config") == settings(), "the configuration is not what the Dockerfile says")
        history = [one for one in config.get("history", []) if not one.get("empty_layer")]
        self.expect(len(history) == len(tars), "the history does not fit the layers")


def check(folder):
    layout = Layout(folder)
    layout.read()
    return layout.wrong


def unpack(folder, root):
    layout = Layout(folder)
    _, tars = layout.read()
    if layout.wrong:
        sys.exit("\n".join(layout.wrong))
    for tar in tars:
        with tarfile.open(fileobj=io.BytesIO(tar)) as files:
            # Debian 12's Python has no filters yet.
            has_filters = hasattr(tarfile, "data_filter")
            how = {"filter": "tar" if os.geteuid() == 0 else "data"} if has_filters else {}
            files.extractall(root, **how)


def main():
    match sys.argv[1:]:
        case ["pack", program, folder]:
            pack(program, folder)
        case ["check", folder]:
            wrong = check(folder)
            sys.exit("\n".join(wrong) if wrong else 0)
        case ["unpack", folder, root]:
            unpack(folder, root)
        case ["is-static", program]:
            sys.exit(0 if is_static(Path(program).read_bytes()) else f"{program} wants a loader: it is not static")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
