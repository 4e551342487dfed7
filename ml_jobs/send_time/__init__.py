"""When to send a person mail: click rates by hour and weekday, each person's shrunk towards everybody's."""
