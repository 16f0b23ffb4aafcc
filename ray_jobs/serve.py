"""Serve a release over HTTP with Ray Serve until interrupted."""

import time

from ray_jobs.job import main, require
from serving.application import ServeSettings, deploy, shutdown


def run(settings: ServeSettings) -> None:
    require(release__path=settings.release.path)
    url = deploy(settings)
    print(f"serving {settings.release.path} at {url}, documented at {url}/docs; Ctrl-C stops it", flush=True)
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        print("stopped", flush=True)
    finally:
        shutdown()


if __name__ == "__main__":
    main(ServeSettings, run)
