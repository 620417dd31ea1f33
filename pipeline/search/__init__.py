"""What is tried: designs, proposals, and the journal that is the only truth about trials."""
