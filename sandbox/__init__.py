"""A store to try Mailwright on: a seeded generator, real orders in its place, and local twins of ESPs."""
