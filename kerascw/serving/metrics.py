"""What the server has done, as Prometheus reads it: text of its exposition format 0.0.4."""

from collections import Counter

from kerascw.serving.shelf import Served

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Of the histogram of times, in seconds."""


class Metrics:
    """Counters since the start; for the thread of the event loop alone."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds = 0.0
        self._within = [0] * len(_BOUNDS)

    def answered(self, route: str, status: int, seconds: float) -> None:
        self._requests[route, status] += 1
        self._seconds += seconds
        for at, bound in enumerate(_BOUNDS):
            self._within[at] += seconds <= bound

    def text(self, served: Served) -> str:
        total = self._requests.total()
        lines = ["# TYPE kerascw_requests_total counter"]
        lines += [
            f'kerascw_requests_total{{route="{route}",status="{status}"}} {count}'
            for (route, status), count in sorted(self._requests.items())
        ]
        lines += ["# TYPE kerascw_request_seconds histogram"]
        lines += [
            f'kerascw_request_seconds_bucket{{le="{bound}"}} {count}'
            for bound, count in zip((*_BOUNDS, "+Inf"), (*self._within, total), strict=True)
        ]
        lines += [
            f"kerascw_request_seconds_sum {self._seconds:.6f}",
            f"kerascw_request_seconds_count {total}",
        ]
        gauges = {
            "in_flight": self.in_flight,
            "model_version": served.version,
            "images": served.batcher.images,  # of this version: a counter may not fall
            "model_calls": served.batcher.calls,
        }
        for name, value in gauges.items():
            lines += [f"# TYPE kerascw_{name} gauge", f"kerascw_{name} {value}"]
        return "\n".join(lines) + "\n"
