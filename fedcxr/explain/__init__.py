"""Where a model looks: Grad-CAM maps, their score against boxes, overlays."""
