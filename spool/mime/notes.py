"""Every remark the parser makes, as fixed sentences so that pages can translate them. Imports nothing."""


def gettext_noop(text: str) -> str:
    """Marks a sentence for translation; the page that shows it calls gettext."""
    return text


CHARSET_UNFIT = gettext_noop("Part of the text does not fit its character set; some characters may be wrong.")
CHARSET_UTF8 = gettext_noop("Part of the text names a character set it does not use; it was read as UTF-8.")
DUPLICATE_HEADER = gettext_noop("A header that may occur once occurs several times; the first one is shown.")
HEADERS_CUT = gettext_noop("The message has an unusual amount of headers; only the first ones were read.")
ADDRESSES_CUT = gettext_noop("The message has more than 500 addresses in one header; the first 500 are shown.")
PARTS_CUT = gettext_noop("The message has more parts than are shown; download the original to see all.")
DEPTH_CUT = gettext_noop("Parts are nested too deeply to be shown; download the original to see all.")
TEXT_CUT = gettext_noop("The text is very long; only its beginning is shown.")
NO_BOUNDARY = gettext_noop("The message says it has several parts but they cannot be told apart.")
UNFINISHED = gettext_noop("The message ends before its last part does.")
ENCODING_UNKNOWN = gettext_noop("A part uses an unknown transfer encoding and is shown as it is.")
ENCODING_BROKEN = gettext_noop("A part is damaged; what could be decoded is shown.")
PROGRAM_DISGUISED = gettext_noop("An attachment is a program although its name or type says otherwise.")
SENDER_DISGUISED = gettext_noop("The sender's name shows another address than the one the message comes from.")
SENDER_ALPHABETS = gettext_noop("The sender's domain mixes letters of several alphabets; it may imitate another one.")
LINK_MISLEADING = gettext_noop("A link in this message leads to another site than its text says.")
DATE_ODD = gettext_noop("The date of the message cannot be read.")
UNREADABLE = gettext_noop("The message could not be read; its original can still be downloaded.")
CONTENT_GONE = gettext_noop("The content of the message has been erased.")
