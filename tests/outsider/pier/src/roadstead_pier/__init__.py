"""A pier: a directory in which groups are files, and replicas are processes of this machine."""
