"""The wallboard: pages for people over the feed's own API, for a wall, a desk and a phone."""
