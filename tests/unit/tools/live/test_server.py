"""Who may ask the page's server, and what it answers: over a real socket, with a fake of what it shows."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from email.message import Message
from http.client import HTTPConnection, HTTPResponse
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from xsocket_tools.live.errors import CannotDoError, ServingError
from xsocket_tools.live.feed import Row
from xsocket_tools.live.server import MOST_OCTETS, MOST_STREAMS, Serving, page
from xsocket_tools.live.watching import Verdict

PATIENCE_S = 10
HOSTILE = "</script><img src=x onerror=alert(1)>"


class Fake:
    """Shows nothing, and remembers what it is asked to do."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.version = 0
        self.is_broken = False
        self.told = [{"number": number, "text": HOSTILE} for number in range(1, 6)]

    def look(self) -> bool:
        if self.is_broken:
            raise RuntimeError("nothing to see")
        return False

    def state(self) -> dict[str, Any]:
        return {"version": self.version}

    def rows_after(self, number: int) -> tuple[list[dict[str, Any]], int]:
        return [row for row in self.told if int(str(row["number"])) > number], 0

    def connect(self, how_many: object) -> str:
        self.asked.append(how_many)
        return HOSTILE

    def claim(self) -> str:
        raise CannotDoError("No connection waits in the pool.")

    def say(self, name: object, text: object) -> str:
        self.asked.append((name, text))
        return "Said."

    def close(self, name: object) -> str:
        self.asked.append(name)
        return "Closed."

    def close_client(self, name: object) -> str:
        self.asked.append(name)
        return "Closed there."

    def send(self, form: object) -> Verdict | dict[str, str]:
        self.asked.append(form)
        if form == {}:
            return {"address": HOSTILE}
        row = Row(1, 0, "received", "", "you send SYN seq 0")
        return Verdict("The engine takes it.", [row])


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Message
    body: bytes

    @property
    def told(self) -> Any:  # noqa: ANN401
        return json.loads(self.body)


class Site(NamedTuple):
    """A server that runs."""

    shown: Fake
    port: int
    token: str

    @contextmanager
    def asked(
        self, method: str, path: str, body: bytes | None = None, **headers: str | None
    ) -> Iterator[HTTPResponse]:
        """Ask; a header that is None is left out, and each ``_`` is a ``-``."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
            connection.putrequest(method, path, skip_host=True)
            given = {"host": f"127.0.0.1:{self.port}", **headers}
            for name, value in given.items():
                if value is not None:
                    connection.putheader(name.replace("_", "-"), value)
            if body is not None:
                connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            with connection.getresponse() as response:
                yield response

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str | None) -> Answer:
        with self.asked(method, path, body, **headers) as response:
            return Answer(response.status, response.headers, response.read())

    def get(self, path: str = "/", **headers: str | None) -> Answer:
        return self.request("GET", f"{path}?token={self.token}", **headers)

    def post(self, path: str, form: object, **headers: str | None) -> Answer:
        body = form if isinstance(form, bytes) else json.dumps(form).encode()
        usual = {"content_type": "application/json", "x_xsocket_token": self.token}
        return self.request("POST", path, body, **{**usual, **headers})

    def events(self, **headers: str | None) -> AbstractContextManager[HTTPResponse]:
        return self.asked("GET", f"/events?token={self.token}", **headers)


@contextmanager
def serving() -> Iterator[Site]:
    shown = Fake()
    with socket.create_server(("127.0.0.1", 0)) as at, Serving(shown, at) as server:
        parts = urlsplit(server.url)
        assert parts.port is not None
        yield Site(shown, parts.port, parts.query.partition("=")[2])


@pytest.fixture(scope="module")
def server() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def site(server: Site) -> Site:
    """The server, at which nobody has asked for anything."""
    server.shown.asked.clear()
    return server


def first_event(answer: HTTPResponse) -> Any:  # noqa: ANN401
    number = answer.readline().decode()
    data = answer.readline().decode()
    assert answer.readline() == b"\n"
    assert number.startswith("id: ")
    return json.loads(data.removeprefix("data: "))


def test_the_page_is_for_who_has_its_address(site: Site) -> None:
    answer = site.get()
    assert answer.status == 200
    assert answer.body.decode() == page()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "connect-src 'self'; " in policy


def test_localhost_is_this_machine_too(site: Site) -> None:
    assert site.get(host=f"localhost:{site.port}").status == 200


@pytest.mark.parametrize(
    ("path", "method"),
    [("/", "GET"), ("/events", "GET"), ("/nowhere", "GET"), ("/claim", "POST"), ("/claim", "OPTIONS")],
)
@pytest.mark.parametrize("token", ["", "?token=", "?token=wrong", "?token=%ff%00", "?token=a&token=b"])
def test_without_the_token_nothing_is_answered(site: Site, path: str, method: str, token: str) -> None:
    answer = site.request(method, path + token, b"{}" if method == "POST" else None)
    assert answer.status == 403
    assert "content-security-policy" in answer.headers
    assert answer.body == b"The address needs the token that `xsocket live` has printed.\n"


@pytest.mark.parametrize("token", [None, "", "wrong", "\xff"], ids=repr)
def test_what_changes_something_has_the_token_in_a_header(site: Site, token: str | None) -> None:
    answer = site.post(f"/connect?token={site.token}", {"clients": 1}, x_xsocket_token=token)
    assert answer.status == 403
    assert site.shown.asked == []


@pytest.mark.parametrize(
    "host", [None, "", "evil.example", "evil.example:80", "127.0.0.1:1", "127.0.0.1.evil"]
)
def test_a_name_that_somebody_else_gave_this_machine_is_refused(site: Site, host: str | None) -> None:
    answer = site.get(host=host)
    assert answer.status in (400, 403)  # HTTP/1.1 itself wants a host
    assert site.token.encode() not in answer.body


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "https://127.0.0.1", "http://127.0.0.1:1"])
def test_no_other_origin_may_use_it(site: Site, origin: str) -> None:
    assert site.post("/connect", {"clients": 1}, origin=origin).status == 403
    assert site.get("/events", origin=origin).status == 403
    assert site.shown.asked == []


def test_its_own_page_may(site: Site) -> None:
    own = f"http://127.0.0.1:{site.port}"
    assert site.post("/connect", {"clients": 1}, origin=own, sec_fetch_site="same-origin").status == 200
    assert site.post("/connect", {"clients": 1}, sec_fetch_site="cross-site").status == 403
    assert site.shown.asked == [1]


def test_what_is_said_back_is_json_and_no_page(site: Site) -> None:
    answer = site.post("/connect", {"clients": 10})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.told == {"said": HOSTILE}


def test_what_is_not_possible_is_said(site: Site) -> None:
    answer = site.post("/claim", {})
    assert answer.told == {"error": "No connection waits in the pool."}


def test_buttons_reach_what_they_are_for(site: Site) -> None:
    for path, form in (
        ("/say", {"name": "a", "text": "b"}),
        ("/close", {"name": "c"}),
        ("/close-client", {"name": "d"}),
        ("/connect", {}),
    ):
        assert site.post(path, form).status == 200
    assert site.shown.asked == [("a", "b"), "c", "d", None]


def test_the_form_comes_back_with_what_is_wrong_or_with_what_came_of_it(site: Site) -> None:
    assert site.post("/segment", {}).told == {"wrong": {"address": HOSTILE}}
    told = site.post("/segment", {"flags": []}).told
    assert (told["said"], told["rows"][0]["text"]) == ("The engine takes it.", "you send SYN seq 0")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"", 400, id="nothing"),
        pytest.param(b"{", 400, id="half of it"),
        pytest.param(b"\xff\xfe{}", 400, id="no text"),
        pytest.param(b"[" * 5000, 400, id="deep"),
        pytest.param(b"[]", 400, id="no object"),
        pytest.param(b" " * (MOST_OCTETS + 1), 413, id="too long"),
    ],
)
def test_what_is_no_form_is_refused(site: Site, body: bytes, status: int) -> None:
    answer = site.post("/connect", body)
    assert answer.status == status
    assert b"Traceback" not in answer.body
    assert site.shown.asked == []


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_only_json_is_taken_which_no_other_page_can_send_unasked(site: Site, kind: str | None) -> None:
    assert site.post("/connect", {"clients": 1}, content_type=kind).status == 415


def test_the_wrong_method_and_the_wrong_place(site: Site) -> None:
    assert site.get("/connect").status == 405
    assert site.post("/", {}).status == 405
    assert site.get("/../page.py").status == 404


def test_news_come_as_events() -> None:
    with serving() as site, site.events() as answer:
        assert str(answer.getheader("content-type")).startswith("text/event-stream")
        told = first_event(answer)
        assert [row["number"] for row in told["rows"]] == [1, 2, 3, 4, 5]
        site.shown.told.append({"number": 6, "text": ""})
        site.shown.version += 1
        told = first_event(answer)
        assert ([row["number"] for row in told["rows"]], told["state"]) == ([6], {"version": 1})


def test_news_go_on_where_the_page_was(site: Site) -> None:
    with site.events(last_event_id="4") as answer:
        assert [row["number"] for row in first_event(answer)["rows"]] == [5]


@pytest.mark.parametrize("last", ["-1", "x", "9" * 100, "²"])
def test_a_page_that_knows_nothing_sensible_begins_anew(site: Site, last: str) -> None:
    with site.events(last_event_id=last) as answer:
        assert len(first_event(answer)["rows"]) == 5


def test_only_so_many_pages_look_on() -> None:
    with serving() as site, ExitStack() as stack:
        for _ in range(MOST_STREAMS):
            first_event(stack.enter_context(site.events()))
        assert site.get("/events").status == 503


def test_when_nothing_can_be_seen_any_more_the_server_ends_and_says_why() -> None:
    shown = Fake()
    with socket.create_server(("127.0.0.1", 0)) as at, Serving(shown, at) as server:
        shown.is_broken = True
        with pytest.raises(ServingError, match="nothing to see"):
            server.wait()


def test_the_page_fetches_nothing_and_has_no_attribute_that_runs() -> None:
    text = page()
    assert "http" not in text
    assert re.findall(r"<[^>]*\son\w+\s*=", text) == []
    assert "innerHTML" not in text
    assert "style=" not in text
