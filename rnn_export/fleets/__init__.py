"""What runs bundles in fleets: rows of Parquet files, and requests to servers."""
