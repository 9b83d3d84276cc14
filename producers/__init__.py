"""In: what reporters send, checked and carried into Kafka. See publisher.py and files.py."""
