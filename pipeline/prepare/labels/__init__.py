"""From labels of any kind to class numbers."""
