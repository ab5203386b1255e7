"""Reading and writing files: images and their metadata, COCO JSON, ImageJ ROIs, tables."""
