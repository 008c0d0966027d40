"""What runs bundles in fleets: columns of Arrow, and files of Parquet."""
