"""Out: the compacted topics as a snapshot in memory, served as Prometheus metrics and JSON. Start reading at snapshot.py."""
