"""Questions that a passage answers; items are {"question", "entities"}."""
