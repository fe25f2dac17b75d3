"""The broker as workers and producers see it, and the one thing that is added to it: a queue that nobody serves is taken over.

QUEUE is the queue that a worker serves. FALLBACK_QUEUE is one that it serves only while an order waits in it for longer than
FALLBACK_AGE seconds: the standard workers look after the free-threaded pool's queue, so that whatever becomes of that pool
(a rollback, a crash, no room on the nodes) its orders are done. As long as the pool keeps up, they leave it alone and its
share is exact.
"""

import json
import os
import time

import dramatiq
import redis
from dramatiq.broker import Consumer
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import current_millis
from dramatiq.middleware import Middleware, default_middleware
from dramatiq.middleware.prometheus import Prometheus

QUEUE = os.environ.get("QUEUE", "orders")
FALLBACK_QUEUE = os.environ.get("FALLBACK_QUEUE", "")
if FALLBACK_QUEUE == QUEUE:
    FALLBACK_QUEUE = ""  # the free-threaded workers, who have this variable from the standard ones
FALLBACK_AGE = float(os.environ.get("FALLBACK_AGE", "30"))
# A worker that has not been heard of for so long is taken for dead, and what it had fetched goes back to its queue.
HEARTBEAT_TIMEOUT = float(os.environ.get("HEARTBEAT_TIMEOUT", "60"))
# Of a million commands so many look for dead workers. Dramatiq's 1,000 takes a quarter of an hour on a quiet queue.
MAINTENANCE_CHANCE = 50_000
LOOK_EVERY = 1.0  # seconds between two looks at a queue that needs no help
# A worker that found nothing looks again after so many ms at most. After Dramatiq's second one that is at it would have taken all there was until
# then: of seconds, the share of the workers would not be their share of the orders.
IDLE_AT_MOST = 100

CLIENT = redis.Redis.from_url(os.environ.get("BROKER_URL", "redis://redis:6379/0"), socket_timeout=5, socket_connect_timeout=5)


class Stamp(Middleware):
    """Writes on each message when it was put into its queue. Its own time is that of its first try."""

    def before_enqueue(self, broker, message, delay) -> None:
        message.options["queued_at"] = current_millis()


class Fallback(Consumer):
    """Consumes a queue while its oldest message waits for too long, and nothing otherwise."""

    def __init__(self, broker: "Broker", queue: str, consumer: Consumer):
        self.broker, self.queue, self.consumer = broker, queue, consumer

    def __next__(self):
        # It fetches several at a time: those that it has are no longer in the queue.
        if self.consumer.message_cache or self.waited() >= FALLBACK_AGE * 1000:
            return next(self.consumer)
        # Fetches nothing, but brings back what a dead worker had fetched: its own pool may never do so again.
        self.broker.do_fetch(self.queue, 0)
        time.sleep(LOOK_EVERY)
        return None

    def waited(self) -> int:
        """Milliseconds that the queue's oldest message has waited, 0 if there is none."""
        key = f"{self.broker.namespace}:{self.queue}"
        oldest = CLIENT.lindex(key, 0)
        message = oldest and CLIENT.hget(f"{key}.msgs", oldest)
        if not message:
            return 0
        # A message without the stamp is from a producer that does not write it.
        return current_millis() - json.loads(message)["options"].get("queued_at", 0)

    def ack(self, message) -> None:
        self.consumer.ack(message)

    def nack(self, message) -> None:
        self.consumer.nack(message)

    def requeue(self, messages) -> None:
        self.consumer.requeue(messages)

    def close(self) -> None:
        self.consumer.close()


class Broker(RedisBroker):
    def consume(self, queue_name, prefetch=1, timeout=5000) -> Consumer:
        consumer = super().consume(queue_name, prefetch, min(timeout, IDLE_AT_MOST))
        return Fallback(self, queue_name, consumer) if queue_name == FALLBACK_QUEUE else consumer


broker = Broker(
    client=CLIENT,
    heartbeat_timeout=int(HEARTBEAT_TIMEOUT * 1000),
    maintenance_chance=MAINTENANCE_CHANCE,
    middleware=[Prometheus(), Stamp(), *(middleware() for middleware in default_middleware)],
)
dramatiq.set_broker(broker)

