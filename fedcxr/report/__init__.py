"""From a run folder to one page that can be mailed: reads files only, needs no network."""
