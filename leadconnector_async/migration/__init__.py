"""From a file to a finished load."""
