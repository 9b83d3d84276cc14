"""A simulated province: a hidden true world, reporters with habits, named incidents; events and the truth. Start at `simulation.py`."""
