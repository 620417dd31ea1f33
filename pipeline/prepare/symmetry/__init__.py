"""Measure the symmetry of a data set: do its images, and its labels, have an orientation?"""
