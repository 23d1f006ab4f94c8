"""Images guessed anew from what a site sends, for each way of protecting it."""
