"""Tests, by what they need: unit, property, contract need nothing; integration, e2e, faults start a real Kafka (tests/kafka.py)."""
