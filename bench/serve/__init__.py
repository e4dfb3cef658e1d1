"""``bench serve``: what serving a bundle costs, beside other servers."""
