"""The page for a fault of ours. A database that is away or busy is no fault of the code: 503, and come again."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.views.defaults import server_error

RETRY_SECONDS = "5"


def failed(request: HttpRequest) -> HttpResponse:
    """Django's handler500, called while the exception is being handled. Needs no database."""
    response = server_error(request)
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        response.status_code = 503
        response.headers["Retry-After"] = RETRY_SECONDS
    return response
