"""Our own mistakes stay ours: swallowed, counted, and told once."""

from __future__ import annotations

import sys

count = 0
last = ""


class counted:
    """`with counted():` ends a block at its first error, as if nothing had been."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        global count, last
        count += 1
        try:
            text = f"{type(error).__name__}: {error}"[:300]
            if text != last:
                say(text)
            last = text
        except Exception:  # a text that cannot be made
            pass
        return True


def say(text: str) -> None:
    """One line on the real stderr, if there is one. Never on descriptor 2 itself, which may be something else by now."""
    try:
        sys.__stderr__.write(f"freethread-probe: {text}\n")  # type: ignore[union-attr]
        sys.__stderr__.flush()  # type: ignore[union-attr]
    except Exception:
        pass
