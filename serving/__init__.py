"""Vectors and words in, hits out: releases, shards, the router and the HTTP ingress."""
