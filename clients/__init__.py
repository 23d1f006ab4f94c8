"""The program at a hospital: reads its own records, trains, and answers through one door."""
