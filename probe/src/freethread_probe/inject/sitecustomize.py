"""Starts the probe in every Python whose PYTHONPATH has this folder, and leaves no other trace.

A sitecustomize of the image, which this one hides, is run afterwards as if it were the only one.
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
