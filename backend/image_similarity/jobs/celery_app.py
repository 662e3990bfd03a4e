"""The configuration of Celery with RabbitMQ: the queues, and the settings that keep a message until its work is done.

exchange image_similarity ──▶ queue image_similarity.chunks ──▶ workers
│ rejected, or delivered without success more than GIVE_UP_AFTER times
▼
exchange image_similarity.dead ──▶ queue image_similarity.dead     kept for the operator
╰─▶ queue image_similarity.buried   ──▶ workers, which record its images as failed
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
"""The arguments are a job's id and a chunk's number; images stay in the storage."""

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
        # If a dead letter were lost, its job would never end. This strategy requires the overflow rule.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    },
)
# A fanout exchange needs no routing key. But Celery would give a queue without one the routing key of the chunks, and
# copy each delayed retry of a chunk into it.
_BURIED_QUEUE = Queue(BURIED, _DEAD_EXCHANGE, routing_key=BURIED, queue_arguments=_QUORUM)
_DEAD_QUEUE = Queue(DEAD, _DEAD_EXCHANGE, routing_key=DEAD, queue_arguments=_QUORUM)


def make_app(broker_url: str, *, timeout: float | None = None) -> Celery:
    """Return a Celery application; with a `timeout` in seconds (for senders), a broker that is silent is an error."""
    app = Celery("image_similarity", broker=broker_url, set_as_current=False)
    waiting: dict[str, Any] = {"read_timeout": timeout, "write_timeout": timeout} if timeout else {}
    app.conf.update(
        task_queues=[_CHUNKS_QUEUE, _BURIED_QUEUE],
        task_default_queue=CHUNKS,
        task_default_exchange="image_similarity",
        task_default_exchange_type="topic",
        task_default_routing_key=CHUNKS,
        # The ledger has the results of chunks; Celery's are not used.
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # A bug of ours leads to a dead letter; the message is not lost.
        task_acks_on_failure_or_timeout=False,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        # Finish a chunk if the connection breaks meanwhile; repeating it changes nothing.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=4,
        broker_transport_options={"confirm_publish": True, **waiting},
    )
    return app


def declare_queues(app: Celery) -> None:
    """Create the exchanges and queues, unless they exist. Raises kombu's OperationalError."""
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=4)
        for queue in (_DEAD_QUEUE, _BURIED_QUEUE, _CHUNKS_QUEUE):
            queue(connection.default_channel).declare()
