"""Who is let in: what the gateway and the feed share at their doors. It knows nothing of coverage."""
