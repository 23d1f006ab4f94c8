"""Made-up chest radiographs with known findings, in the official layouts."""
