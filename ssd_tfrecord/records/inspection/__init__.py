"""Looking at record sets: are they whole, what is in them, and manifests for those of others."""
