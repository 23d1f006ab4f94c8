"""What a run or a comparison found, as typed values: one definition for writers and readers."""
