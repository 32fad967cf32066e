"""The map page: a published map, or one that is being made, in a browser; served, or as a folder of plain files."""
