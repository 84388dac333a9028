"""How the run is doing: counts, ages and the board's state, as JSON and for Prometheus."""

import os
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fer_runtime.outputs.rate import Rate
from fer_runtime.system.thermal import temperature, throttling
from fer_runtime.types import Result

SCHEMA = 2  # of the JSON report
STALE_AFTER_S = 30.0  # without a result
AGE_BUCKETS_S = (0.005, 0.01, 0.02, 0.033, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2)  # bounds of the histogram


class Health(Collector):
    """Counts results in the loop's thread; everything else is computed on request."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._ages = Histogram(
            "fer_frame_age_seconds", "From capture to result.", buckets=AGE_BUCKETS_S, registry=self._registry
        )
        self._registry.register(self)
        ProcessCollector(registry=self._registry)  # CPU seconds, memory and open files, on Linux
        self._started = time.monotonic()
        self._rate = Rate()
        self._processed = self._captured = self._faces = 0
        self._age_ms = 0.0
        self._cpu = (time.monotonic(), time.process_time(), 0.0)

    def count(self, result: Result) -> None:
        """Called by the loop's thread for every result."""
        self._processed += 1
        self._captured = max(self._captured, result.frame + 1)  # a live source numbers the frames it passes over, too
        self._faces = len(result.faces)
        self._age_ms = result.age_ms
        self._rate.count()
        self._ages.observe(result.age_ms / 1000)

    def is_stale(self) -> bool:
        """Whether there has been no result for 30 seconds."""
        return self._since() > STALE_AFTER_S

    def _since(self) -> float:
        """Seconds since the last result, or since the start."""
        return time.monotonic() - (self._rate.last or self._started)

    def plain(self) -> dict[str, Any]:
        """For JSON. status: "ok", "starting" or, with no result for 30 seconds, "stale"; cpu_cores: busy with it."""
        since = self._since()
        held = throttling()
        return {
            "schema": SCHEMA,
            "status": "stale" if since > STALE_AFTER_S else "ok" if self._processed else "starting",
            "uptime_s": round(time.monotonic() - self._started, 1),
            "last_result_age_s": round(since, 2),
            "frames_captured": self._captured,
            "frames_processed": self._processed,
            "frames_dropped": self._captured - self._processed,
            "fps": round(self._rate.fps, 2),
            "faces": self._faces,
            "frame_age_ms": round(self._age_ms, 1),
            "cpu_cores": round(self._busy(), 3),
            "load_average": round(os.getloadavg()[0], 2),
            "temperature_c": temperature(),
            "throttled": None if held is None else held[0],
        }

    def _busy(self) -> float:
        """Cores that this process kept busy, over a second or more."""
        then, spent, busy = self._cpu
        now = time.monotonic()
        if now - then >= 1:
            used = time.process_time()
            busy = (used - spent) / (now - then)
            self._cpu = (now, used, busy)
        return busy

    def metrics(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """For the registry; see prometheus_client."""
        counts = {
            "captured": (self._captured, "Frames that the source gave."),
            "dropped": (self._captured - self._processed, "Frames passed over, as a newer one was there."),
            "processed": (self._processed, "Frames that have a result."),
        }
        for name, (value, text) in counts.items():
            yield CounterMetricFamily(f"fer_frames_{name}", text, value)
        yield GaugeMetricFamily("fer_faces", "Faces in the newest frame.", self._faces)
        degrees, held = temperature(), throttling()
        if degrees is not None:
            yield GaugeMetricFamily("fer_temperature_celsius", "Of the hottest sensor of the processor.", degrees)
        if held is not None:
            yield GaugeMetricFamily("fer_throttled", "Whether the firmware holds the board back.", bool(held[0]))
