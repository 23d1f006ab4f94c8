"""How good a model is: arrays in, numbers out. No torch, no files, no drawing."""
