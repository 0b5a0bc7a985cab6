"""Finished spans and log records become OTLP requests: counted, bounded, and closed within a stated time.

OpenTelemetry's batch processors do the batching, and leave four things open. A full queue drops its oldest record and
a failed request its whole batch, both without a count anyone can read; `force_flush()` has no time limit; `shutdown()`
joins its thread for up to 30 s; and a forked child shares its parent's connections. A lane is a batch processor with
a gate before it and a counted exporter behind it, which settle these.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

BATCH_MAX = 512
CLOSE_S = 5.0


class Gate:
    """Counts what waits to be sent, in a queue or under way, and what never will be; only wait_empty() waits."""

    def __init__(self, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self.reset()

    def reset(self) -> None:
        """Start anew: after a fork nothing waits in the child, and its parent may have held the lock."""
        self._changed = threading.Condition(threading.Lock())
        self._closed = False
        self.waiting = 0
        self.dropped = 0

    def enter(self) -> bool:
        """Take a place for one record; False (and counted as dropped) where all are taken or the gate is closed."""
        with self._changed:
            if self._closed or self.waiting >= self._waiting_max:
                self.dropped += 1
                return False
            self.waiting += 1
            return True

    def leave(self, count: int, *, sent: bool) -> None:
        """Give back the places of `count` records, which were taken by the other side or are lost."""
        with self._changed:
            count = min(count, self.waiting)  # after abandon() late batches find nothing to give back
            self.waiting -= count
            self.dropped += 0 if sent else count
            self._changed.notify_all()

    def drop(self) -> None:
        """Count one record that never came so far."""
        with self._changed:
            self.dropped += 1

    def close(self) -> bool:
        """Let nothing in any more; False where that was so already."""
        with self._changed:
            was_open, self._closed = not self._closed, True
            return was_open

    def abandon(self) -> None:
        """Count everything that still waits as dropped."""
        with self._changed:
            self.dropped += self.waiting
            self.waiting = 0

    def wait_empty(self, timeout_s: float) -> bool:
        """Wait until nothing waits; False where the time was up first."""
        with self._changed:
            return self._changed.wait_for(lambda: self.waiting == 0, timeout_s)


class Lane:
    """One signal's way out: gate, batch processor, exporter. `close()` returns within its time, whatever hangs."""

    def __init__(self, gate: Gate, exporter: CountedLogs | CountedSpans, batches: Any) -> None:
        self.gate = gate
        self._exporter = exporter
        self._batches = batches
        self._flusher: threading.Thread | None = None

    def put(self, hand_over: Callable[[], object]) -> None:
        """Hand one record over to the batch processor where the gate has room."""
        if not self.gate.enter():
            return
        try:
            hand_over()
        except Exception:  # noqa: BLE001 - the record is lost, and counted; its sender goes on
            self.gate.leave(1, sent=False)

    def nudge(self) -> None:
        """Have what waits sent now instead of at the next interval; returns at once."""
        if self.gate.waiting and (self._flusher is None or not self._flusher.is_alive()):
            self._flusher = _start(self._batches.force_flush)

    def flush(self, timeout_s: float) -> bool:
        """Send what waits; True when all of it left within the time."""
        self.nudge()
        return self.gate.wait_empty(timeout_s)

    def close(self, timeout_s: float = CLOSE_S) -> bool:
        """Send what waits and end; True when all of it left within the time. What did not is counted as dropped."""
        if not self.gate.close():
            return self.gate.waiting == 0
        drained = self.flush(timeout_s)
        self._exporter.shutdown()
        if drained:
            self._batches.shutdown()
        else:
            self.gate.abandon()
            _start(self._batches.shutdown)  # ends its thread once the request that hangs gives up
        return drained

    def after_fork(self) -> None:
        """Begin anew in a forked child: its queue is empty and its connections belong to its parent."""
        self.gate.reset()
        self._exporter.renew()
        self._flusher = None


def _start(work: Callable[[], object]) -> threading.Thread | None:
    thread = threading.Thread(target=work, name="seamark-sdk", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is ending; the batch processor's own thread still sends
        return None
    return thread


class CountedLogs(LogRecordExporter):
    """Tells the gate what became of every batch of log records."""

    def __init__(self, gate: Gate, make: Callable[[], LogRecordExporter]) -> None:
        self._gate = gate
        self._make = make
        self.renew()

    def renew(self) -> None:
        """Make a new exporter, with connections of its own."""
        self._inner = self._make()
        self._ended = False

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        result = LogRecordExportResult.FAILURE
        try:
            if not self._ended:
                result = self._inner.export(batch)
        finally:
            self._gate.leave(len(batch), sent=result is LogRecordExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        if not self._ended:
            self._ended = True
            self._inner.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class CountedSpans(SpanExporter):
    """Tells the gate what became of every batch of spans; `stamp` is added to the resource of each."""

    def __init__(self, gate: Gate, make: Callable[[], SpanExporter], stamp: Resource | None) -> None:
        self._gate = gate
        self._make = make
        self._stamp = stamp
        self._stamped: tuple[Resource, Resource] | None = None  # the last resource met, and what became of it
        self.renew()

    def renew(self) -> None:
        """Make a new exporter, with connections of its own."""
        self._inner = self._make()
        self._ended = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            if not self._ended:
                result = self._inner.export([self._named(span) for span in spans])
        finally:
            self._gate.leave(len(spans), sent=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        if not self._ended:
            self._ended = True
            self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

    def _named(self, span: ReadableSpan) -> ReadableSpan:
        if self._stamp is None:
            return span
        if self._stamped is None or self._stamped[0] is not span.resource:
            self._stamped = (span.resource, span.resource.merge(self._stamp))
        return ReadableSpan(
            name=span.name,
            context=span.context,
            parent=span.parent,
            resource=self._stamped[1],
            attributes=span.attributes,
            events=span.events,
            links=span.links,
            kind=span.kind,
            status=span.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )


class LogLane(Lane, LogRecordProcessor):
    """A lane for log records."""

    def __init__(self, make: Callable[[], LogRecordExporter], waiting_max: int, every_ms: float | None) -> None:
        gate = Gate(waiting_max)
        exporter = CountedLogs(gate, make)
        batches = BatchLogRecordProcessor(exporter, every_ms, min(BATCH_MAX, waiting_max), None, waiting_max)
        super().__init__(gate, exporter, batches)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self.put(lambda: self._batches.on_emit(log_record))

    def shutdown(self) -> None:
        self.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.flush(timeout_millis / 1_000)


class SpanLane(Lane, SpanProcessor):
    """A lane for spans."""

    def __init__(
        self, make: Callable[[], SpanExporter], waiting_max: int, every_ms: float | None, stamp: Resource | None
    ) -> None:
        gate = Gate(waiting_max)
        exporter = CountedSpans(gate, make, stamp)
        batches = BatchSpanProcessor(exporter, waiting_max, every_ms, min(BATCH_MAX, waiting_max))
        super().__init__(gate, exporter, batches)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        return

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.trace_flags.sampled:
            self.put(lambda: self._batches.on_end(span))

    def shutdown(self) -> None:
        self.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.flush(timeout_millis / 1_000)
