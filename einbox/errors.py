"""The page for a fault of ours. What the installation lacks is no fault of the code: 503.

A database that is away or busy comes back by itself; a field key that is missing does not, `doctor` names it.
"""

import logging
import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.views.defaults import server_error

from accounts.crypto import DecryptionError

logger = logging.getLogger(__name__)
RETRY_SECONDS = "5"


def failed(request: HttpRequest) -> HttpResponse:
    """Django's handler500, called while the exception is being handled. Needs no database."""
    response = server_error(request)
    error = sys.exc_info()[1]
    if isinstance(error, DecryptionError):
        response.status_code = 503
        logger.error("a sealed value cannot be opened: `manage.py doctor` says which key is missing")
    if isinstance(error, OperationalError | InterfaceError):
        response.status_code = 503
        response.headers["Retry-After"] = RETRY_SECONDS
    return response
