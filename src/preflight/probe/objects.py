"""The shared objects that the application's Python could load: what can be told of each without importing it.

That is its ABI tag (from its name), and whether it is an extension module at all (from its init function's name). Whether it
declares support for free threading cannot: `Py_mod_gil` is a number in a table that code may fill in while it runs, and no
symbol. Only an extension with single-phase initialisation names a function for it, PyUnstable_Module_SetGIL, and what it passes
is not seen either. So this is a hint, and the import is the proof.
"""

import mmap
import os
import re
from typing import Any, Dict, Iterator, List, Optional, Tuple

MOST_FILES = 300_000  # visited, of any kind
LARGEST = 2 << 30  # bytes of an object that is looked into
PRUNED = {"__pycache__", ".git", "node_modules"}
# The interpreter's own tests: some of them re-enable the GIL on purpose.
OWN_TESTS = re.compile(r"_test|_xx|xx|_ctypes_test")

TAG = re.compile(r"\.(?:cpython-(\d+[a-z]*)|(abi3t?)|(pypy\d+|graalpy\d+))[.-]")


def tag_of(name: str) -> str:
    """The ABI tag of a file's name, in the words of wheels: cp313t, cp313, abi3, abi3t, none."""
    found = TAG.search(name)
    if not found:
        return "none"
    return "cp" + found.group(1) if found.group(1) else found.group(2) or found.group(3)


def module_of(relative: str, suffixes: List[str]) -> Optional[str]:
    """The name under which an import would find the file, None when its name says that this interpreter would not load it."""
    folder, name = os.path.split(relative)
    stem = name.split(".", 1)[0]
    parts = [part for part in folder.split(os.sep) if part]
    if name[len(stem) :] not in suffixes or not all(part.isidentifier() for part in [*parts, stem]):
        return None
    return ".".join(parts if stem == "__init__" and parts else [*parts, stem])


def walk(roots: List[str], prune: List[str]) -> Iterator[Tuple[str, str]]:
    """(root, path below it) of each shared object. A root inside another one is visited as itself only."""
    visited = 0
    ends = {os.path.realpath(path) for path in [*roots, *prune]}
    for root in roots:
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(f for f in folders if f not in PRUNED and os.path.realpath(os.path.join(folder, f)) not in ends)
            visited += len(files)
            for name in sorted(files):
                if re.search(r"\.so(\.\d+)*$", name):
                    yield root, os.path.relpath(os.path.join(folder, name), root)
            if visited > MOST_FILES:
                return


def look_into(path: str, stem: str) -> Dict[str, Any]:
    """What the object's symbol names tell: {} when it cannot be read."""
    try:
        with open(path, "rb") as file:
            if not 64 <= os.fstat(file.fileno()).st_size <= LARGEST:
                return {}
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                init = "PyInit_" + stem
                if not stem.isascii():
                    init = "PyInitU_" + stem.encode("punycode").decode().replace("-", "_")
                # Whole names end with a zero byte; the linker may store one as the end of another, so none is asked for before it.
                extension = any(data.find(name.encode() + b"\0") >= 0 for name in (init, init.replace("PyInit", "PyModExport", 1)))
                return {"extension": extension, "callsSetGil": data.find(b"PyUnstable_Module_SetGIL\0") >= 0}
    except (OSError, ValueError):
        return {}


def roots_of(facts: Dict[str, Any]) -> Tuple[List[str], List[str]]:
    """The folders that imports search, and those of them that are left out because they are the whole file system."""
    stdlib = os.path.realpath(facts.get("stdlib") or "/")
    roots: List[str] = []
    for entry in facts["path"]:
        if os.path.isdir(entry) and os.path.realpath(entry) != stdlib and entry not in roots:
            roots.append(entry)
    whole = [root for root in roots if os.path.realpath(root) == "/"]
    return [root for root in roots if root not in whole], whole


def shared_objects(facts: Dict[str, Any], most: int) -> Tuple[List[Dict[str, Any]], int, List[str]]:
    """Each shared object that was found, at most so many; their number; and what was not searched."""
    roots, whole = roots_of(facts)
    found: List[Dict[str, Any]] = []
    count = 0
    for root, relative in walk(roots, [facts.get("stdlib") or "/"]):
        count += 1
        if len(found) >= most:
            continue
        path = os.path.join(root, relative)
        name = os.path.basename(relative)
        entry: Dict[str, Any] = {"file": path, "tag": tag_of(name), "module": module_of(relative, facts["suffixes"])}
        stem = name.split(".", 1)[0]
        seen = look_into(path, os.path.basename(os.path.dirname(path)) if stem == "__init__" else stem)
        entry["kind"] = "unreadable" if not seen else "extension" if seen["extension"] else "library"
        entry["callsSetGil"] = seen.get("callsSetGil", False)
        entry["ownTest"] = os.path.basename(root) == "lib-dynload" and bool(OWN_TESTS.match(name))
        found.append(entry)
    return found, count, whole
