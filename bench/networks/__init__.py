"""``bench networks``: whole networks of random weights, compiled and timed."""
