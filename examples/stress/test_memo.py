"""A cache that builds what is not there yet. Each test is run by many threads at once: pytest --parallel-threads=8."""

KEYS = 2000
cache: dict = {}
built: list = []


def price(key: int) -> int:
    if key not in cache:
        built.append(key)
        cache[key] = key * key
    return cache[key]


def test_each_price_is_built_once():
    for key in range(KEYS):
        assert price(key) == key * key
    assert len(built) == KEYS, f"built {len(built)} times"
