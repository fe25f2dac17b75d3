"""Starts the probe in every Python whose PYTHONPATH has this folder, and leaves no other trace.

A sitecustomize of the image, which this one hides, is run afterwards as if it were the only one. Where PYTHONPATH was set to this folder
alone, a file `pythonpath` in it may say what it was before: that comes into force again.
"""


def _start(here):
    """Import the package from the folder that this one came in, whether or not that is a place imports know."""
    import os
    import sys

    root = os.path.dirname(os.path.dirname(here))
    sys.path.insert(0, root)
    try:
        import freethread_probe
    finally:
        sys.path.remove(root)
    freethread_probe.start()


def _give_back(here):
    """The path that the image had, at the place where ours is, and for the processes that this one starts."""
    import os
    import sys

    try:
        with open(os.path.join(here, "pythonpath"), encoding="utf-8") as file:
            entries = [entry for entry in file.read().strip().split(os.pathsep) if entry]
    except OSError:
        return
    known = {os.path.abspath(entry) for entry in sys.path}
    entries = [entry for entry in entries if os.path.abspath(entry) not in known]
    place = next((at for at, entry in enumerate(sys.path) if os.path.abspath(entry) == here), 0)
    sys.path[place + 1 : place + 1] = [os.path.abspath(entry) for entry in entries]
    os.environ["PYTHONPATH"] = os.pathsep.join([os.environ.get("PYTHONPATH") or here] + entries)


def _hand_over(here):
    import os
    import sys

    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    ours = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        if ours is not None:
            sys.modules["sitecustomize"] = ours


def _main():
    import os

    here = os.path.dirname(os.path.abspath(__file__))
    _give_back(here)
    try:
        _start(here)
    except Exception as error:  # a probe that does not work is better than an application that does not
        try:
            import sys

            sys.__stderr__.write(f"freethread-probe: not started: {type(error).__name__}: {error}\n")
        except Exception:
            pass
    _hand_over(here)


_main()
