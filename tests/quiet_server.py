"""An HTTP server for tests."""

from http.server import ThreadingHTTPServer


class QuietServer(ThreadingHTTPServer):
    """A thread for each request; a caller that hung up, or whose process was killed, is no news."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing."""
