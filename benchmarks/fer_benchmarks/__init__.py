"""fer_benchmarks: latency against accuracy of exported files; imports fer_runtime alone."""
