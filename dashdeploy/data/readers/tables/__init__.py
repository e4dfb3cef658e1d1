"""Tables: files with one sample in each row, which are CSV, Parquet, ARFF or the UCR archive's text files.

A reader for each format makes `samples.Samples`; `load` makes a task of them. Imports what the readers import.
"""
