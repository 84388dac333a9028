"""What the dataset's three tables hold: Arrow schemas, which each Parquet file carries in its metadata."""

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = 1
METADATA_KEY = b"fer_score"
TABLES = ("faces", "tracks", "sources")
ROW_GROUP = 65_536  # rows; each has least and largest source and time, by which readers pass over it
ZSTD_LEVEL = 9


def schemas(labels: Sequence[str]) -> dict[str, pa.Schema]:
    """The schema of each of TABLES, for a model with these labels."""
    faces = [
        ("source", pa.string()), ("time_s", pa.float64()), ("frame", pa.int32()), ("track", pa.int32()),
        ("x", pa.int32()), ("y", pa.int32()), ("width", pa.int32()), ("height", pa.int32()),
        ("score", pa.float32()), ("label", pa.string()), ("raw_label", pa.string()),
        *((f"p_{label}", pa.float32()) for label in labels),
    ]  # fmt: skip
    tracks = [
        ("source", pa.string()), ("track", pa.int32()), ("first_s", pa.float64()), ("last_s", pa.float64()),
        ("frames", pa.int32()), ("changes", pa.int32()),
        *((f"seconds_{label}", pa.float32()) for label in labels), ("seconds_uncertain", pa.float32()),
        *((f"mean_{label}", pa.float32()) for label in labels),
    ]  # fmt: skip
    sources = [
        ("source", pa.string()), ("sha256", pa.string()), ("bytes", pa.int64()), ("modified_ns", pa.int64()),
        ("kind", pa.string()), ("width", pa.int32()), ("height", pa.int32()), ("fps", pa.float32()),
        ("duration_s", pa.float64()), ("frames", pa.int32()), ("faces", pa.int32()), ("tracks", pa.int32()),
        ("cpu_s", pa.float32()), ("error", pa.string()), ("notes", pa.string()),
    ]  # fmt: skip
    fields = {"faces": faces, "tracks": tracks, "sources": sources}
    return {
        name: pa.schema(
            list(fields[name]),
            metadata={METADATA_KEY: json.dumps({"schema": SCHEMA, "table": name, "labels": list(labels)})},
        )
        for name in TABLES
    }


def to_parquet(table: pa.Table) -> bytes:
    """A Parquet file: zstd, in row groups of ROW_GROUP rows."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, row_group_size=ROW_GROUP, compression="zstd", compression_level=ZSTD_LEVEL, write_statistics=True
    )
    return bytes(sink.getvalue())


def from_parquet(data: bytes, columns: list[str] | None = None) -> pa.Table:
    """A table out of a Parquet file's bytes. Raises pa.ArrowInvalid for anything else."""
    return pq.read_table(pa.BufferReader(data), columns=columns)
