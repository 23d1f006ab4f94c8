"""From predictions to what a page shows of arms: a comparison's, or the one arm that a run is."""
