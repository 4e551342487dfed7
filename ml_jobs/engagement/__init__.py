"""Whether a person opens and clicks the next mail: calibrated probabilities."""
