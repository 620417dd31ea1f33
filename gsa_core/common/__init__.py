"""What every layer uses: checks of arguments, axes, constants, identity, derivatives."""
