"""One thin file per job, run as `python -m ray_jobs.<job>`."""
