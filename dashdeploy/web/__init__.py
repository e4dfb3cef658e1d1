"""What pages in a browser share: modules that draw tensors and read files.

`modules/` holds plain JavaScript modules and one style sheet, without a build step; the server's console and the site
of an export show the same ones. Imports nothing; export and serve import it.
"""
