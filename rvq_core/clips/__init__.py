"""Motion clips: readers, skeletons, and representations (features <-> joints)."""
