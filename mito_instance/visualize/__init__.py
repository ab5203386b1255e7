"""Pictures of results: overlays on micrographs, plots and the HTML report."""
