"""Train one configuration: the loop, augmentation, training state, devices."""
