"""The books: which orders were taken, and how often each was done. They are here to prove that none is lost; yours is your database."""

from broker import CLIENT

TAKEN, DONE, POOLS, GIL = "ledger:taken", "ledger:done", "ledger:pools", "ledger:gil"


def take(order: str) -> None:
    """A customer was told that the order is taken."""
    CLIENT.sadd(TAKEN, order)


def done(order: str, pool: str, gil: bool) -> None:
    """The order was done, by this pool, with the GIL on or off; all of it or nothing is written."""
    with CLIENT.pipeline(transaction=True) as books:
        books.hincrby(DONE, order, 1)
        books.hincrby(POOLS, pool, 1)
        books.hincrby(GIL, f"{pool}: {'on' if gil else 'off'}", 1)
        books.execute()


def balance() -> dict:
    """Orders taken, those of them that are not done, those done more than once; how many each pool did, and with which GIL."""
    taken = CLIENT.smembers(TAKEN)
    times = {order: int(count) for order, count in CLIENT.hgetall(DONE).items()}
    return {
        "taken": len(taken),
        "missing": len(taken - times.keys()),
        "twice": sum(count > 1 for count in times.values()),
        "pools": {pool.decode(): int(count) for pool, count in CLIENT.hgetall(POOLS).items()},
        "gil": {state.decode(): int(count) for state, count in CLIENT.hgetall(GIL).items()},
    }
