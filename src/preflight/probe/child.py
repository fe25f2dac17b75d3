"""Runs in a process of its own, on the application's interpreter: imports modules and tells through a pipe what became of the GIL.

Started as `python -v -X faulthandler -c THIS '{"fd": 3, "mode": "facts" | "import", ...}'`. It may crash, hang or exit at any
import: whatever is missing from its report then is told by how it ended and by its stderr.
"""

import importlib
import importlib.machinery
import json
import os
import sys

LONGEST = 300  # characters of any one string that comes from the image
gil_enabled = getattr(sys, "_is_gil_enabled", lambda: True)


def importer():
    """File and line of the import statement that led here."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith("<frozen importlib") and file not in (__file__, importlib.__file__):
            return "%s:%d" % (file[-LONGEST:], frame.f_lineno)
        frame = frame.f_back
    return None


def watch_extensions(loaded, limit):
    """Note each extension that is loaded, and by whom, and let the interpreter's words on it reach the real stderr.

    Applications put their own objects in place of sys.stderr, and the interpreter writes to whatever is there.
    """

    def wrap(original):
        def call(loader, subject):
            spec = getattr(subject, "__spec__", None) or subject  # create_module gets the spec, exec_module the module
            if spec.name not in loaded and len(loaded) < limit:
                loaded[spec.name] = [str(spec.origin)[-LONGEST:], importer(), gil_enabled(), None]
            theirs, sys.stderr = sys.stderr, sys.__stderr__
            try:
                return original(loader, subject)
            finally:
                if sys.stderr is sys.__stderr__:
                    sys.stderr = theirs
                if spec.name in loaded:
                    loaded[spec.name][3] = gil_enabled()

        return call

    kind = importlib.machinery.ExtensionFileLoader
    for name, module in list(sys.modules.items()):  # what we ourselves needed
        spec = getattr(module, "__spec__", None)
        if isinstance(getattr(spec, "loader", None), kind):
            loaded[name] = [str(spec.origin)[-LONGEST:], None, gil_enabled(), gil_enabled()]
    kind.create_module = wrap(kind.create_module)
    kind.exec_module = wrap(kind.exec_module)


def import_all(names, lines):
    """The error of each module that could not be imported. One that ends the process in an orderly way is an error too."""
    errors = {}
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException:
            import traceback

            text = traceback.format_exc().splitlines()
            errors[name] = [line[:LONGEST] for line in text[-lines:]]
    return errors


def facts(limit):
    """What the interpreter says of itself, without importing anything of the application's."""
    import platform
    import sysconfig
    from importlib.metadata import distributions

    found = {}
    count = 0
    for distribution in distributions():
        try:
            name = str(distribution.metadata["Name"])[:LONGEST]
            version = str(distribution.version)[:LONGEST]
        except Exception:  # metadata that cannot be read: it is installed all the same
            name, version = str(getattr(distribution, "_path", "?"))[-LONGEST:], None
        # The first one on the path is the one that imports find.
        if name not in found:
            count += 1
            if len(found) < limit:
                found[name] = version
    return {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "versionInfo": list(sys.version_info[:3]),
        "releaseLevel": sys.version_info[3],
        "build": sys.version[:LONGEST],
        "freeThreadedBuild": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "soabi": sysconfig.get_config_var("SOABI"),
        "suffixes": importlib.machinery.EXTENSION_SUFFIXES,
        "machine": platform.machine(),
        "libc": "-".join(platform.libc_ver()),
        "executable": sys.executable,
        "gilEnabled": gil_enabled(),
        "path": [entry or os.getcwd() for entry in sys.path],
        "stdlib": sysconfig.get_path("stdlib"),
        "distributions": found,
        "distributionsFound": count,
    }


def main(options):
    report = {}
    sys.path[0:0] = options["path"]
    if options["mode"] == "facts":
        report = facts(options["limit"])
    else:
        import faulthandler

        os.set_inheritable(options["fd"], False)
        # A hang shows where, before the parent ends it.
        faulthandler.dump_traceback_later(options["hang"], exit=False)
        loaded = {}
        watch_extensions(loaded, options["limit"])
        report["gilBefore"] = gil_enabled()
        report["errors"] = import_all(options["modules"], options["lines"])
        report["gilAfter"] = gil_enabled()
        report["loaded"] = loaded
        faulthandler.cancel_dump_traceback_later()
    with os.fdopen(options["fd"], "w") as pipe:
        pipe.write(json.dumps(report) + "\n")  # the newline says that it is whole


# This text is no module of the application's: hooks that look for one must not find a file.
__file__ = main.__code__.co_filename
main(json.loads(sys.argv.pop(1)))
