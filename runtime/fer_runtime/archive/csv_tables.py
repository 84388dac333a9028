"""The dataset as CSV files."""

from pyarrow import csv

from fer_runtime.archive.ledger import CSV_FILES
from fer_runtime.archive.schema import from_parquet
from fer_runtime.archive.store import Store


def write_csv(store: Store) -> None:
    """Write faces.csv, tracks.csv and sources.csv beside the tables, each whole or not at all, part by part.

    Raises FerError.
    """
    for table, file in CSV_FILES.items():
        parts = (from_parquet(store.read(name)) for name in store.names(table))
        first = next(parts)
        with store.writing(file) as path, csv.CSVWriter(path, first.schema) as writer:
            writer.write_table(first)
            for part in parts:
                writer.write_table(part)
