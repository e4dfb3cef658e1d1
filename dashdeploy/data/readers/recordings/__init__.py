"""Readers of data that come as a file for each sample: folders by class of sounds or images, WFDB records.

Import `dashdeploy.data` and its other readers. A file is opened when its sample is asked for.
"""
