"""The worker process: RQ in the main thread, sweepers beside it."""

from __future__ import annotations

import gc
import logging
import threading
from types import FrameType, TracebackType

import redis
from flask import Flask
from rq import Queue, SimpleWorker
from rq.exceptions import DeserializationError
from rq.job import Job
from rq.serializers import JSONSerializer

from manga_backend.kernel.operations.service.health import sweepers
from manga_backend.kit import clock
from manga_backend.kit.jobs import QUEUE
from manga_backend.kit.leader import Stop, keep_running
from manga_backend.kit.settings import CoreSettings, settings

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 5
STOP_SECONDS = 8.0


class JobWorker(SimpleWorker):
    """RQ's worker that runs jobs in this process, and remembers that it was told to stop."""

    told_to_stop = False
    max_connection_wait_time = LONGEST_RETRY_SECONDS

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """RQ's handler of SIGTERM and SIGINT while it works."""
        self.told_to_stop = True
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def handle_exception(
        self,
        job: Job,
        kind: type[BaseException],
        fault: BaseException,
        trace: TracebackType | None,
    ) -> None:
        """In place of RQ's line, which holds the traceback as a text: ours is an alarm."""
        if isinstance(fault, redis.RedisError) or not isinstance(fault, Exception):
            log.error("job %s was broken off: %s", _name(job), fault)
        else:
            log.error("job %s failed", _name(job), exc_info=(kind, fault, trace))


LOOK_SECONDS = 2.0


def watch_clock(_app: Flask, stop: Stop) -> None:
    """The leader's duty: say once that the machine's clock was set."""
    while not stop.is_set():
        jumped = clock.watch.look()
        if jumped is not None:
            log.error(
                "this machine's clock was set by %+.0f s: what was due in between runs now, or is "
                "late by as much; see to NTP (timedatectl set-ntp true)",
                jumped,
            )
        with stop.idle():
            stop.wait(LOOK_SECONDS)


def _name(job: Job) -> str:
    """Of the registered job: the one argument of `kit.jobs.run`."""
    try:
        return " ".join(map(str, job.args)) or str(job.func_name)
    except DeserializationError:
        return str(job.id)


def work(app: Flask, stop: Stop) -> None:
    """Run until told to stop. Redis or the database being away is waited out.

    SimpleWorker runs jobs in this process: a fork per job would cost 15 ms each and share sockets
    and locks with the sweepers' threads. What a killed job left undone the rows still ask for.
    """
    threads = [
        threading.Thread(
            target=keep_running, args=(app, name, sweep, stop), name=f"sweep-{name}", daemon=True
        )
        for name, sweep in sweepers.items()
    ]
    gc.freeze()  # what start-up made stays: no collection need look through it again
    for thread in threads:
        thread.start()
    log.info("the worker is ready")
    complained = False
    try:
        while not stop.is_set():
            try:
                if _run_jobs():
                    break
                complained = False
            except redis.RedisError as error:
                if not complained:
                    log.error("Redis is away, the sweepers go on without it: %s", error)
                complained = True
            stop.wait(RETRY_SECONDS)
    except KeyboardInterrupt:
        log.debug("stopped while waiting for Redis")
    except Exception:
        log.exception("the worker ends")
        raise
    stop.set()
    stop.join(threads, STOP_SECONDS)


def _run_jobs() -> bool:
    """One RQ worker until it is stopped (True) or gives up on Redis (False)."""
    connection = redis.Redis.from_url(settings(CoreSettings).redis_url)
    queue = Queue(QUEUE, connection=connection, serializer=JSONSerializer)
    worker = JobWorker([queue], connection=connection, serializer=JSONSerializer)
    try:
        worker.work(logging_level="WARNING")
    except redis.RedisError:
        if not worker.told_to_stop:
            raise
    return bool(worker.told_to_stop)
