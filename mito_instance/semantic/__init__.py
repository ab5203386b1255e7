"""Semantic baselines: U-Nets and an FCN for foreground, and instances from their maps."""
