"""How fast it is, measured on real Kafka: `make bench NAME=rebuild`, `make bench NAME=live`. The figures are in README.md."""
