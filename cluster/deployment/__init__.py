"""Deploying: the files that start a cluster, all rendered from one small configuration, and checks of such files."""
