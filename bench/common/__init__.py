"""What the benchmarks share: result files, their comparison and pages, peak memory."""
