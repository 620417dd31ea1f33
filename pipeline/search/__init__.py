"""What is searched: cells, distributions, designs and objectives."""
