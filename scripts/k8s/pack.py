#!/usr/bin/env python3
"""Images for the node of `make k8s-e2e`, without an engine and a registry: archives that `ctr images import` takes.

  pack.py layout FOLDER NAME     the OCI layout that `make image-oci` has made, under that name
  pack.py program FILE NAME      an image of one static program, which is its entry point
  pack.py python NAME            an image of the Python that runs this: for the pod of `helm test`

The archive goes to standard output.
"""

import io
import json
import pathlib
import re
import subprocess
import sys
import sysconfig
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "image"))
import oci  # noqa: E402

# What of Python's own files no pod needs.
NEEDLESS = re.compile(r"/(site-packages|dist-packages|test|idlelib|tkinter|lib2to3|ensurepip|__pycache__|config-[^/]*)(/|$)|\.a$")


def libraries(*files):
    """Shared libraries of these, and the loader, where the loader looks for them."""
    told = subprocess.run(["ldd", *files], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"(/\S+) \(0x", told))


def python():
    """Where the files of the image lie on this machine, by where they lie in the image."""
    stdlib = pathlib.Path(sysconfig.get_path("stdlib"))
    program = pathlib.Path(sys.executable).resolve()
    own = [path for path in stdlib.rglob("*") if path.is_file() and not NEEDLESS.search(str(path))]
    objects = [path for path in own if path.suffix == ".so"]
    files = {str(path): path for path in own}
    files |= {library: pathlib.Path(library) for library in libraries(program, *objects)}
    return files | {str(program): program, "/usr/bin/python3": program}


def tarred(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, path in sorted(files.items()):
            entry = tarfile.TarInfo(name.lstrip("/"))
            data = path.read_bytes()
            entry.mode, entry.size = 0o755 if path.stat().st_mode & 0o111 else 0o644, len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def blobs(files, config):
    """Digests with their bytes; the first is the manifest's."""
    layer = tarred(files)
    told = {"architecture": oci.machine(pathlib.Path(sys.executable).read_bytes()), "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": [oci.digest(layer)]}}
    found, zipped = {}, oci.zipped(layer)

    def blob(kind, data):
        found[oci.digest(data)] = data
        return {"mediaType": kind, "digest": oci.digest(data), "size": len(data)}

    manifest = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": blob(oci.CONFIG, oci.compact(told)),
                "layers": [blob(oci.LAYER, zipped)]}
    return blob(oci.MANIFEST, oci.compact(manifest)), found


def archive(manifest, found, name):
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [manifest | {"annotations": {"io.containerd.image.name": name}}]}
    files = {"oci-layout": oci.compact({"imageLayoutVersion": "1.0.0"}), "index.json": oci.compact(index)}
    files |= {f"blobs/sha256/{digest.removeprefix('sha256:')}": data for digest, data in found.items()}
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def main():
    match sys.argv[1:]:
        case ["layout", folder, name]:
            folder = pathlib.Path(folder)
            manifest = json.loads((folder / "index.json").read_bytes())["manifests"][0]
            found = {f"sha256:{path.name}": path.read_bytes() for path in (folder / "blobs/sha256").iterdir()}
            archive(manifest, found, name)
        case ["program", file, name]:
            archive(*blobs({"/program": pathlib.Path(file)}, {"Entrypoint": ["/program"]}), name)
        case ["python", name]:
            prefix = {"Env": ["PATH=/usr/bin", f"PYTHONHOME={sys.base_prefix}"]}
            archive(*blobs(python(), prefix), name)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
