"""The tables of CheXpert, NIH ChestX-ray14 and CheXlocalize, in all their variants."""
