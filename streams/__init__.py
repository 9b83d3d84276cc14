"""Through: Faust workers that turn events into province-wide ratios. Start reading at app.py."""
