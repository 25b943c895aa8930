"""The landing zone: every version of every record that a source gave, append-only, in Parquet parts named by one manifest per source."""
