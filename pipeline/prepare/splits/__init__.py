"""Disjoint, stratified splits: groups kept whole, near duplicates counted."""
