#!/usr/bin/env python3
"""Make a container image (a `docker save` archive) from a folder, without a builder and without a registry.

The same folder gives the same bytes: names are sorted, everything belongs to root and no time is recorded.
"""

import argparse
import hashlib
import io
import json
import os
import platform
import tarfile


def add(archive, root, path):
    info = archive.gettarinfo(os.path.join(root, path), arcname=path)
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    if info.isreg():
        with open(os.path.join(root, path), "rb") as file:
            archive.addfile(info, file)
    else:
        archive.addfile(info)


def layer_of(root):
    """The folder as one uncompressed layer. Hard links stay links: their names are visited in sorted order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder, folders, files in os.walk(root):
            folders.sort()
            relative = os.path.relpath(folder, root)
            if relative != ".":
                add(archive, root, relative)
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            for name in sorted(files + links):
                add(archive, root, os.path.normpath(os.path.join(relative, name)))
    return buffer.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", help="the archive to write")
    parser.add_argument("name", help="NAME:TAG of the image")
    parser.add_argument("rootfs", help="the folders that become its layers, comma-separated, the lowest first")
    parser.add_argument("entrypoint", nargs="+")
    parser.add_argument("--cmd", action="append", default=[], metavar="ARGUMENT")
    parser.add_argument("--user", default="65534:65534")
    parser.add_argument("--workdir", default="/")
    parser.add_argument("--env", action="append", default=[], metavar="K=V")
    options = parser.parse_args()

    layers = [layer_of(root) for root in options.rootfs.split(",")]
    digests = [hashlib.sha256(layer).hexdigest() for layer in layers]
    environment = options.env
    if not any(entry.startswith("PATH=") for entry in environment):
        environment = ["PATH=/usr/local/bin:/usr/bin:/bin", *environment]
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Cmd": options.cmd,
            "Entrypoint": options.entrypoint,
            "Env": environment,
            "User": options.user,
            "WorkingDir": options.workdir,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }
    config = json.dumps(config, sort_keys=True).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    layer_names = [f"{digest}.tar" for digest in digests]
    manifest = [{"Config": config_name, "RepoTags": [options.name], "Layers": layer_names}]
    manifest = json.dumps(manifest).encode()

    partial = f"{options.out}.{os.getpid()}"
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive:
        for path, data in [("manifest.json", manifest), (config_name, config), *zip(layer_names, layers)]:
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    os.replace(partial, options.out)


if __name__ == "__main__":
    main()
