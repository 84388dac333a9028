"""For how long each expression shows in each video that fer-score has scored, with polars.

python examples/archive_polars.py results
"""

import sys

import polars as pl
import polars.selectors as cs

tracks = pl.scan_parquet(f"{sys.argv[1]}/tracks/*.parquet").drop_nulls("first_s")  # photos have no time
seconds = tracks.group_by("source").agg(cs.starts_with("seconds_").sum().round(1)).sort("source")
print(seconds.collect().write_csv(), end="")
