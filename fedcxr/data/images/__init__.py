"""One image file, whatever its format, to one square of 8-bit grey."""
