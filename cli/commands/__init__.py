"""One module per family of commands; `register(app)` adds it."""
