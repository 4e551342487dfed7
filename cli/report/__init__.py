"""What the warehouse says about itself: one set of numbers, drawn as a screen and as an HTML page."""
