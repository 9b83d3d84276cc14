"""How good the shipped alerts are, measured: `python -m bench.alert_quality`."""
