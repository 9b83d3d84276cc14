"""What Grafana and Prometheus load, generated from Python so that one source serves both; see README.md beside this file."""
