"""A person of the drill: logs in over HTTP with password and TOTP code, reads, replies. Standard library only."""

import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.client import HTTPException
from http.cookiejar import CookieJar

from django_otp.oath import totp

TIMEOUT = 30.0  # seconds
LOG_IN_TRIES = 3
TOTP_STEP = 30  # seconds (RFC 6238)
PATIENCE = 20.0  # seconds of pressing reload
TAGS = re.compile(r"<[^>]*>")
REPLY_LINK = re.compile(r'href="([^"]*/reply)"')
MESSAGE_LINK = re.compile(r'href="(/m/[0-9A-Z]{13}/)"')


class DrillPersonError(Exception):
    """A page did not lead where it should; the text names the page."""


@dataclass
class Form:
    """One HTML form: where it goes and what it carries."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._textarea = self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and values.get("method", "get").lower() == "post":
            self.forms.append(Form(values.get("action", "")))
        elif self.forms and tag == "input" and values.get("type") not in {"submit", "checkbox", "radio", "file"}:
            if "name" in values:
                self.forms[-1].fields[values["name"]] = values.get("value", "")
        elif self.forms and tag == "textarea" and "name" in values:
            self._textarea = values["name"]
            self.forms[-1].fields[self._textarea] = ""
        elif self.forms and tag == "select":
            self._select = values.get("name", "")
        elif self._select and tag == "option":
            self._choose(values)

    def _choose(self, option: dict[str, str]) -> None:
        """The selected option, else the first, as a browser does."""
        fields = self.forms[-1].fields
        if "selected" in option or self._select not in fields:
            fields[self._select] = option.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.forms[-1].fields[self._textarea] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._textarea = ""
        if tag == "select":
            self._select = ""


@dataclass
class Page:
    url: str
    status: int
    text: str

    def form_with(self, name: str) -> Form:
        """The first form that holds a field called `name`. Raises DrillPersonError."""
        parser = _Forms()
        parser.feed(self.text)
        for form in parser.forms:
            if name in form.fields:
                return form
        message = f"{self.url} has no form with a field {name!r}"
        raise DrillPersonError(message)


@dataclass
class Person:
    """Browses one einbox with cookies, as a browser would."""

    base_url: str
    email: str
    password: str
    totp_key: bytes
    logged_in_at: float = 0.0  # time.monotonic()

    def __post_init__(self) -> None:
        jar = urllib.request.HTTPCookieProcessor(CookieJar())
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar)

    def get(self, path: str) -> Page:
        return self._open(urllib.request.Request(urllib.parse.urljoin(self.base_url, path)))  # noqa: S310 - http only

    def submit(self, page: Page, form: Form, **values: str) -> Page:
        data = urllib.parse.urlencode({**form.fields, **values}).encode()
        url = urllib.parse.urljoin(page.url, form.action or page.url)
        headers = {"Referer": page.url, "Origin": self.base_url}
        return self._open(urllib.request.Request(url, data=data, headers=headers))  # noqa: S310 - http only

    def _open(self, request: urllib.request.Request) -> Page:
        """Like a person, presses "reload" while the server does not answer; an answer is an answer, though."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with self._opener.open(request, timeout=TIMEOUT) as response:
                    return Page(response.url, response.status, response.read().decode("utf-8", "replace"))
            except urllib.error.HTTPError as error:
                said = " ".join(TAGS.sub(" ", error.read().decode("utf-8", "replace")).split())
                message = f"{request.full_url} answered {error.code}: {said[300:1500]}"
                raise DrillPersonError(message) from error
            except (OSError, HTTPException) as error:  # the latter: the server died within its answer
                if time.monotonic() > deadline:
                    message = f"{request.full_url} did not answer ({type(error).__name__})"
                    raise DrillPersonError(message) from error
            time.sleep(0.3)

    def log_in(self) -> Page:
        """Both stages. Raises DrillPersonError if the inbox is not reached.

        A code works once: if the answer to it got lost, the person waits for the next one, as the page says.
        """
        for _ in range(LOG_IN_TRIES):
            page = self._both_stages()
            if "/account/" not in page.url:
                self.logged_in_at = time.monotonic()
                return page
            time.sleep(TOTP_STEP - time.time() % TOTP_STEP + 0.5)
        message = f"log-in ended at {page.url}"
        raise DrillPersonError(message)

    def _both_stages(self) -> Page:
        page = self.get("/account/login/")
        if "/account/" not in page.url:
            return page  # the answer was lost, not the session
        form = page.form_with("password")
        name = next(key for key in form.fields if key in {"username", "email"})
        page = self.submit(page, form, **{name: self.email, "password": self.password})
        return self.submit(page, page.form_with("code"), code=f"{totp(self.totp_key, t0=0):06d}")

    def inbox_links(self) -> list[str]:
        """Links of the messages in the inbox."""
        return list(dict.fromkeys(MESSAGE_LINK.findall(self.get("/").text)))

    def wait_for_mail(self, *, seconds: float) -> list[str]:
        """Links of the messages in the inbox, as soon as there is one. Raises DrillPersonError after `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if links := self.inbox_links():
                return links
            time.sleep(0.2)
        message = f"no message in the inbox of {self.email} within {seconds} s"
        raise DrillPersonError(message)

    def reply(self, link: str, text: str) -> Page:
        """Open the message at `link`, follow its reply link, send the answer. Raises DrillPersonError."""
        page = self.get(link)
        reply_link = REPLY_LINK.search(page.text)
        if reply_link is None:
            message = f"{link} offers no reply"
            raise DrillPersonError(message)
        page = self.get(reply_link[1])
        sent = self.submit(page, page.form_with("body"), body=text, act="send")
        if "/write/" in sent.url:
            message = f"the answer to {link} was not sent"
            raise DrillPersonError(message)
        return sent
