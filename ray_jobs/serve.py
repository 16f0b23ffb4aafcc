"""Serve a release over HTTP with Ray Serve until interrupted."""

import os
import socket
import time

from ray_jobs.job import SettingsError, main, require
from ray_jobs.room import require_room
from serving.application import HttpSettings, ServeSettings, deploy, reserved, shutdown


def require_free_port(http: HttpSettings) -> None:
    """Raises SettingsError when another program listens there; on a cluster it may be Serve itself, so none there."""
    if os.environ.get("RAY_ADDRESS"):
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((http.host, http.port))
        except OSError as error:
            raise SettingsError(
                f"http.port: cannot listen on {http.host}:{http.port} ({error.strerror}); "
                "choose another with --set http.port=..."
            ) from None


def run(settings: ServeSettings) -> None:
    require(release__path=settings.release.path)
    require_free_port(settings.http)
    require_room("the service", reserved(settings))
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
