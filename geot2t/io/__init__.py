"""Rasters in and out: the only package that opens or writes them."""
