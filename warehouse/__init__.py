"""The one place that opens a database: settings, connections, the writer's lock, the two clocks, errors."""
