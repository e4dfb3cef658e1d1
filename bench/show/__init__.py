"""``bench show``: result files of every kind, read again as text, as a page, or two of them compared.

Imports the reports and pages of all the commands; only `cli` imports it.
"""
