"""Abbreviations of a passage with their full names; items are pairs as datagen.mined_pairs reads them."""
