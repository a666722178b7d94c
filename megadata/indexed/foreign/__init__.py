"""Other tools' token files: written from an indexed dataset, and read into one.

`files.py` holds what all formats share, `flat.py` headerless and llm.c files, `tables.py` Arrow and Parquet, `litdata.py` and
`mds.py` the chunked formats of those libraries (neither library is needed), `run.py` the two doors.
"""
