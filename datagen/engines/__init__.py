"""What answers prompts: engines behind one form of request and completion."""
