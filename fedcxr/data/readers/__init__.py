"""Tables of images: CheXpert, NIH ChestX-ray14 and CheXlocalize in all variants, and own ones."""
