#!/usr/bin/env python3
"""Asks pip, packaging and uv what they make of the lock files in locks/, and records it in answers.json.

Run by hand, in an environment of its own, when a lock file or a target is added:

    python3 -m venv /tmp/record && /tmp/record/bin/pip install 'pip>=26.1' packaging uv
    /tmp/record/bin/python tests/inventory/record.py record        # answers.json: takes a call of pip for each package and target
    /tmp/record/bin/python tests/inventory/record.py pages         # pages.json: what the index says of the locks that only have hashes
    /tmp/record/bin/python tests/inventory/record.py walk NAME DIR # the packages of the project in DIR, by uv's own export
    /tmp/record/bin/python tests/inventory/record.py live FREETHREAD-ROLLOUT   # at most 30 packages against the index of today

pip chooses among the wheels that the lock names: for each package a folder is filled with wheels of these names, with nothing in them
but metadata, and is all that pip may look into. So the answer does not depend on what was uploaded since. Every compatible platform is
named to pip, which does not work out the older ones by itself.
"""

import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile

from packaging import markers, tags, utils

HERE = pathlib.Path(__file__).parent
LOCKS = HERE / "locks"
ANSWERS = HERE / "answers.json"
PAGES = HERE / "pages.json"
# These two hold hashes and no names of files.
REQUIREMENTS = LOCKS / "service/requirements.txt"
PIPFILE = LOCKS / "service/Pipfile.lock"
TARGETS = [
    "3.13t-linux-x86_64-glibc2.28",
    "3.14t-linux-x86_64-glibc2.36",
    "3.14t-linux-aarch64-musl1.2",
    "3.15t-linux-aarch64-glibc2.41",
    "3.15t-linux-x86_64-glibc2.17",
]
MORE_TAGS = ["3.14t-linux-i686-glibc2.36", "3.16t-linux-s390x-glibc2.34", "3.13t-linux-armv7l-musl1.1"]


def parts(target):
    python, _, machine, libc = target.split("-")
    minor = int(python.removesuffix("t").split(".")[1])
    name, major, least = re.fullmatch(r"(glibc|musl)(\d+)\.(\d+)", libc).groups()
    return minor, machine, name, int(major), int(least)


def platforms(target):
    """As packaging has them, which works them out for the running machine only."""
    _, machine, libc, major, minor = parts(target)
    all = [f"linux_{machine}"]
    if libc == "musl":
        return all + [f"musllinux_{major}_{m}_{machine}" for m in range(minor, -1, -1)]
    import packaging._manylinux as manylinux

    manylinux._get_glibc_version = lambda: (major, minor)
    manylinux._have_compatible_abi = lambda executable, archs: True
    manylinux._is_compatible = lambda arch, version: True
    return all + list(manylinux.platform_tags([machine]))


def all_tags(target):
    minor = parts(target)[0]
    where = platforms(target)
    yield from tags.cpython_tags((3, minor), [f"cp3{minor}t"], where)
    yield from tags.compatible_tags((3, minor), f"cp3{minor}", where)


def shortened(target):
    """The tags as lines: interpreter and ABI, with '*' for all platforms in their order."""
    where, lines, listed = platforms(target), [], [str(tag) for tag in all_tags(target)]
    at = 0
    while at < len(listed):
        python, abi, platform = listed[at].split("-")
        if platform == "any":
            lines.append(listed[at])
            at += 1
        else:
            assert listed[at : at + len(where)] == [f"{python}-{abi}-{one}" for one in where]
            lines.append(f"{python}-{abi}-*")
            at += len(where)
    return {"platforms": where, "lines": lines}


def releases(path):
    """name, version and names of files of each package that comes from an index."""
    lock = tomllib.loads(path.read_text()) if path.suffix in (".lock", ".toml") and path.name != "Pipfile.lock" else {}
    for package in lock.get("package", []) + lock.get("packages", []):
        names = [f["file"] for f in package.get("files", [])]
        for wheel in package.get("wheels", []):
            address = wheel.get("name") or wheel.get("filename") or wheel.get("url") or wheel.get("path")
            names.append(address.rsplit("/", 1)[-1].replace("%2B", "+"))
        names = [name for name in names if name.endswith(".whl")]
        if "version" in package and (names or "sdist" in package or "files" in package):
            yield utils.canonicalize_name(package["name"]), package["version"], names


def ask_pip(arguments, target):
    minor = parts(target)[0]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--report", "-", "--implementation", "cp", "--python-version", f"3.{minor}", "--abi", f"cp3{minor}t"]
    command += [f"--platform={platform}" for platform in platforms(target)]
    with tempfile.TemporaryDirectory() as nowhere:
        done = subprocess.run([*command, "--target", nowhere, *arguments], capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout)["install"][0]["download_info"]["url"].rsplit("/", 1)[-1].replace("%2B", "+")
    if "No matching distribution found" in done.stderr:
        return None
    raise SystemExit(f"{arguments} for {target}: {done.stderr}")


def choice(name, version, wheels, target):
    with tempfile.TemporaryDirectory() as folder:
        for wheel in wheels:
            stem = "-".join(wheel.split("-")[:2])
            with zipfile.ZipFile(pathlib.Path(folder) / wheel, "w") as archive:
                archive.writestr(f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
                archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        return ask_pip(["--no-index", "--find-links", folder, f"{name}=={version}"], target)


def environment(target):
    minor, machine, *_ = parts(target)
    return {
        "implementation_name": "cpython", "implementation_version": f"3.{minor}.99", "os_name": "posix", "platform_machine": machine,
        "platform_python_implementation": "CPython", "platform_system": "Linux", "sys_platform": "linux",
        "python_full_version": f"3.{minor}.99", "python_version": f"3.{minor}",
        "extras": {"all"}, "dependency_groups": {"dev"}, "extra": "all",
    }


def record():
    answers = {"pip": subprocess.check_output([sys.executable, "-m", "pip", "--version"], text=True).split()[1]}
    answers["tags"] = {target: shortened(target) for target in TARGETS + MORE_TAGS}
    told = set()
    for path in sorted(LOCKS.glob("*/*.*")):
        text = path.read_text().replace('\\"', "'")
        told |= set(re.findall(r'marker(?:s)?"? ?[=:] "([^"]*)"', text))
        told |= set(re.findall(r'^\s*"(python_full_version[^"]*)",$', text, re.M))
    told = sorted(marker for marker in told if "platform_release" not in marker)
    answers["markers"] = {
        marker: "".join("01"[markers.Marker(marker).evaluate(environment(target), context="lock_file")] for target in TARGETS) for marker in told
    }
    answers["walks"] = json.loads(ANSWERS.read_text()).get("walks", {}) if ANSWERS.exists() else {}
    answers["targets"] = TARGETS
    asked = {}
    for path in sorted(LOCKS.glob("*/*.*")):
        for name, version, wheels in releases(path):
            # The same release in two locks has the same files but for later uploads; each is asked for.
            asked[f"{path.parent.name} {name} {version}"] = (name, version, wheels)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        def all_targets(key):
            found = [choice(*asked[key], target) for target in TARGETS]
            print(key, file=sys.stderr)
            return key, found[0] if len(set(found)) == 1 else found
        answers["chosen"] = dict(pool.map(all_targets, asked))
    write(ANSWERS, answers)


def write(path, answers):
    """A line for each answer, so that a difference can be read."""
    lines = ["{"]
    for i, (key, value) in enumerate(answers.items()):
        comma = "," if i + 1 < len(answers) else ""
        if isinstance(value, dict):
            inner = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            lines.append(f"{json.dumps(key)}: {{\n{inner}\n}}{comma}")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}{comma}")
    path.write_text("\n".join([*lines, "}"]) + "\n")


def walk(name, project, *options):
    """The packages that uv itself would install, by its export with markers, evaluated by packaging."""
    command = [str(pathlib.Path(sys.executable).parent / "uv"), "export", "--frozen", "--no-hashes", "--no-emit-workspace", "--no-header", "--no-annotate", "--no-default-groups"]
    text = subprocess.check_output([*command, *options], cwd=project, text=True)
    answers = json.loads(ANSWERS.read_text())
    for target in TARGETS:
        found = []
        for line in text.splitlines():
            requirement, _, marker = line.partition(" ; ")
            if not marker or markers.Marker(marker).evaluate(environment(target) | {"extra": ""}):
                found.append(requirement)
        answers["walks"][" ".join([name, target, *options])] = sorted(found)
    write(ANSWERS, answers)


def page(name):
    import urllib.request

    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    with urllib.request.urlopen(urllib.request.Request(f"https://pypi.org/simple/{name}/", headers=accept)) as answer:
        return json.load(answer)


def pages():
    """The pages of the index for what the locks with hashes pin, without the other releases."""
    wanted = dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==(\S+)", REQUIREMENTS.read_text(), re.M))
    for name, package in json.loads(PIPFILE.read_text())["default"].items():
        wanted[name] = package["version"].removeprefix("==")
    found = {}
    for name, version in sorted(wanted.items()):
        name = utils.canonicalize_name(name)
        stems = re.compile(re.escape(name).replace(r"\-", "[-_.]+") + "-" + re.escape(version) + r"(-|\.tar|\.zip)", re.I)
        files = [
            {"filename": f["filename"], "hashes": {"sha256": f["hashes"]["sha256"]}, "requires-python": f.get("requires-python"), "yanked": f.get("yanked", False)}
            for f in page(name)["files"]
            if stems.match(f["filename"])
        ]
        found[name] = {"files": files}
    write(PAGES, found)


def live(program):
    """30 releases of the locks, those with binaries first: what pip takes from the index today is what inventory names."""
    target = TARGETS[1]
    pinned = {}
    for path in sorted(LOCKS.glob("*/*.*")):
        for name, version, wheels in releases(path):
            pinned.setdefault(name, (version, all(wheel.endswith("-none-any.whl") for wheel in wheels)))
    sample = sorted(pinned, key=lambda name: (pinned[name][1], name))[:30]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(f"{name}=={pinned[name][0]}\n" for name in sample))
        file.flush()
        command = [program, "inventory", "--format", "json", "--index", "https://pypi.org/simple", "--target", target, file.name]
        done = subprocess.run(command, capture_output=True, text=True)
    if not done.stdout:
        raise SystemExit(done.stderr)
    wrong = 0
    for entry in json.loads(done.stdout)["packages"]:
        got = ask_pip([f"{entry['name']}=={entry['version']}"], target)
        if got != entry["wheel"]:
            wrong += 1
            print(f"{entry['name']} {entry['version']}: pip takes {got}, inventory names {entry['wheel']}")
    print(f"{len(sample) - wrong} of {len(sample)} packages as pip has them")
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    {"record": record, "pages": pages, "walk": walk, "live": live}[sys.argv[1]](*sys.argv[2:])
