"""Archives: many videos and photos scored into one Parquet dataset, on all cores of a machine or of a Ray cluster."""
