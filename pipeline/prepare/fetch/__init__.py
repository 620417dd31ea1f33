"""Published files: found or downloaded, checked, and read from archives without unpacking."""
