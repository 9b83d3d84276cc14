"""Events over HTTP into Kafka. Start at app.py: what a request is answered. Bounds of connections, and the end: server.py."""
