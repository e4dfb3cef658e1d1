"""What ``bench latency`` runs for a scenario of MLPerf LoadGen: its load against a bundle or a server.

Imports the runtimes, `bench.serve` for its HTTP client, and `bench.common`.
"""
