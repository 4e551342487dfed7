"""Segments: what they are, whom they hold, why, and whom they would have held."""
