"""Generated bad requests over every public and operator's route, sent to real processes; a seed is a run."""
