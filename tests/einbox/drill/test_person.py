"""The drill's person: presses "reload" while there is no whole answer."""

import socket
import threading

import pytest

from einbox.drill.person import Person

pytestmark = pytest.mark.pure

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("cut", [b"", b"HT", HEAD, HEAD + b"in"], ids=["nothing", "status", "head", "body"])
def test_an_answer_that_breaks_off_is_asked_for_again(cut: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for octets in (cut, HEAD + b"inbox"):
                connection, _peer = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(octets)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        page = Person(f"http://127.0.0.1:{server.getsockname()[1]}", "a@drill.test", "", b"").get("/")
        thread.join()
    assert (page.status, page.text) == (200, "inbox")
