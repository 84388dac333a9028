"""For how long each expression shows in each video that fer-score has scored, with DuckDB.

python examples/archive_duckdb.py results
"""

import sys

import duckdb

query = """
    SELECT source, round(sum(columns('seconds_.*')), 1)
    FROM read_parquet(? || '/tracks/*.parquet')
    WHERE first_s IS NOT NULL -- photos have no time
    GROUP BY source ORDER BY source
"""
found = duckdb.execute(query, [sys.argv[1]])
print(*(column[0] for column in found.description), sep=",")
for row in found.fetchall():
    print(*row, sep=",")
