"""Celery over RabbitMQ, as this product uses it: its queues, and how a message is kept until its work is done.

exchange image_similarity ──▶ queue image_similarity.chunks ──▶ workers
│ rejected, or delivered in vain more than DELIVERY_LIMIT times
▼
exchange image_similarity.dead ──▶ queue image_similarity.dead     kept for the operator
╰─▶ queue image_similarity.buried   ──▶ workers, who name its images as failed
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from image_similarity.jobs.chunks import GIVE_UP_AFTER

CHUNKS = "image_similarity.chunks"
BURIED = "image_similarity.buried"
DEAD = "image_similarity.dead"

TASK = "image_similarity.index_chunk"
"""Its arguments are a job's id and a chunk's number; images stay in the storage."""

# Quorum queues are written to disk on a majority of the brokers before a message counts as sent.
_QUORUM = {"x-queue-type": "quorum"}
_DEAD_EXCHANGE = Exchange(DEAD, type="fanout", durable=True)
_CHUNKS_QUEUE = Queue(
    CHUNKS,
    # A topic exchange, because Celery's delayed retries are routed through one.
    Exchange("image_similarity", type="topic", durable=True),
    routing_key=CHUNKS,
    queue_arguments={
        **_QUORUM,
        "x-delivery-limit": GIVE_UP_AFTER,
        "x-dead-letter-exchange": DEAD,
        # A dead letter that got lost would leave its job open for ever; this strategy demands the overflow rule.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    },
)
# A fanout exchange asks for no routing key, but Celery gives a queue without one that of the chunks, and would copy
# each delayed retry of a chunk into it.
_BURIED_QUEUE = Queue(BURIED, _DEAD_EXCHANGE, routing_key=BURIED, queue_arguments=_QUORUM)
_DEAD_QUEUE = Queue(DEAD, _DEAD_EXCHANGE, routing_key=DEAD, queue_arguments=_QUORUM)


def make_app(broker_url: str, *, timeout: float | None = None) -> Celery:
    """Return a Celery application; with a `timeout`, in seconds, a silent broker is an error (for senders)."""
    app = Celery("image_similarity", broker=broker_url, set_as_current=False)
    waiting: dict[str, Any] = {"read_timeout": timeout, "write_timeout": timeout} if timeout else {}
    app.conf.update(
        task_queues=[_CHUNKS_QUEUE, _BURIED_QUEUE],
        task_default_queue=CHUNKS,
        task_default_exchange="image_similarity",
        task_default_exchange_type="topic",
        task_default_routing_key=CHUNKS,
        # The ledger knows what became of a chunk; nobody asks Celery.
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # A mistake of ours makes a dead letter, not a message that vanishes.
        task_acks_on_failure_or_timeout=False,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        # A chunk that was under way when the connection broke is finished: doing it again changes nothing.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=4,
        broker_transport_options={"confirm_publish": True, **waiting},
    )
    return app


def declare_queues(app: Celery) -> None:
    """Make the exchanges and queues, unless they are there. Raises kombu's OperationalError."""
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=4)
        for queue in (_DEAD_QUEUE, _BURIED_QUEUE, _CHUNKS_QUEUE):
            queue(connection.default_channel).declare()
