"""``report.html``: one file, without network, that shows a run, a bundle or a measurement to a person."""
