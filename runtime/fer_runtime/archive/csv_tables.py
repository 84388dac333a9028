"""The dataset as CSV files."""

import tempfile

from pyarrow import csv

from fer_runtime.archive.schema import TABLES, from_parquet
from fer_runtime.archive.store import Store


def write_csv(store: Store) -> None:
    """Write faces.csv, tracks.csv and sources.csv beside the tables, each whole or not at all. Raises FerError."""
    for table in TABLES:
        with tempfile.TemporaryFile() as file:
            parts = (from_parquet(store.read(name)) for name in store.names(table))
            first = next(parts)
            with csv.CSVWriter(file, first.schema) as writer:
                writer.write_table(first)
                for part in parts:
                    writer.write_table(part)
            file.seek(0)
            store.write(f"{table}.csv", file.read())
