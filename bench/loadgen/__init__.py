"""``bench serve --loadgen``: MLPerf LoadGen against a bundle or a server."""
