"""Which modules the demo's web pages are rendered from.

Standard-library modules come first; then packages that megadata itself depends on, those with the most prose first. Modules
that open windows, print poems or change the process when they are imported are not listed. A name that this Python lacks is
passed over.
"""

from __future__ import annotations


def _names(text: str) -> list[str]:
    """Module names, separated by white space."""
    return text.split()


STANDARD_LIBRARY = _names(
    """
    abc aifc argparse array ast asynchat asyncio asyncio.base_events asyncio.events asyncio.futures asyncio.locks
    asyncio.queues asyncio.runners asyncio.streams asyncio.subprocess asyncio.tasks asyncore atexit base64 bdb binascii
    bisect builtins bz2 calendar cgi cgitb chunk cmath cmd code codecs codeop collections collections.abc colorsys
    compileall concurrent.futures concurrent.futures.process concurrent.futures.thread configparser contextlib
    contextvars copy copyreg csv ctypes ctypes.util curses dataclasses datetime dbm decimal difflib dis doctest email
    email.charset email.contentmanager email.encoders email.errors email.feedparser email.generator email.header
    email.headerregistry email.iterators email.message email.mime.base email.mime.image email.mime.text email.parser
    email.policy email.utils encodings encodings.idna encodings.punycode ensurepip enum errno faulthandler fcntl filecmp
    fileinput fnmatch fractions ftplib functools gc getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac
    html html.entities html.parser http http.client http.cookiejar http.cookies http.server imaplib imghdr importlib
    importlib.abc importlib.machinery importlib.metadata importlib.resources importlib.util inspect io ipaddress
    itertools json json.decoder json.encoder json.scanner keyword linecache locale logging logging.config
    logging.handlers lzma mailbox mailcap marshal math mimetypes mmap modulefinder multiprocessing
    multiprocessing.connection multiprocessing.managers multiprocessing.pool multiprocessing.process
    multiprocessing.queues multiprocessing.shared_memory multiprocessing.sharedctypes multiprocessing.synchronize netrc
    numbers operator optparse os os.path pathlib pdb pickle pickletools pipes pkgutil platform plistlib poplib posixpath
    ntpath pprint profile pstats pty pwd py_compile pyclbr pydoc queue quopri random re reprlib resource rlcompleter
    runpy sched secrets select selectors shelve shlex shutil signal site smtplib sndhdr socket socketserver sqlite3 ssl
    stat statistics string stringprep struct subprocess sunau symtable sysconfig syslog tabnanny tarfile telnetlib
    tempfile termios textwrap threading time timeit token tokenize tomllib trace traceback tracemalloc tty types typing
    unicodedata unittest unittest.async_case unittest.case unittest.loader unittest.main unittest.mock unittest.result
    unittest.runner unittest.signals unittest.suite urllib urllib.error urllib.parse urllib.request urllib.response
    urllib.robotparser uu uuid venv warnings wave weakref webbrowser wsgiref.handlers wsgiref.headers
    wsgiref.simple_server wsgiref.types wsgiref.util wsgiref.validate xml.dom xml.dom.minidom xml.dom.pulldom
    xml.etree.ElementTree xml.parsers.expat xml.sax xml.sax.handler xml.sax.saxutils xml.sax.xmlreader xmlrpc.client
    xmlrpc.server zipapp zipfile zipimport zlib zoneinfo
    """
)

PACKAGES = _names(
    """
    numpy numpy.fft numpy.lib.format numpy.lib.stride_tricks numpy.linalg numpy.ma
    numpy.random numpy.testing
    scipy.stats
    click click.core click.decorators click.formatting click.parser click.shell_completion click.termui click.testing
    click.types
    datasketch.hyperloglog datasketch.lean_minhash datasketch.lshensemble datasketch.lshforest datasketch.minhash
    fsspec.callbacks fsspec.core fsspec.mapping fsspec.spec fsspec.utils
    ftfy ftfy.badness ftfy.chardata ftfy.fixes ftfy.formatting
    pydantic.config pydantic.functional_serializers pydantic.functional_validators pydantic.type_adapter
    rich.markup rich.table rich.text
    """
)

QUICK = _names(
    """
    argparse array asyncio.queues base64 bisect calendar codecs collections contextlib copy csv dataclasses difflib
    email.message enum fractions functools glob gzip heapq html.parser io json logging lzma pathlib pprint queue random
    shlex string struct tempfile textwrap threading timeit tokenize typing unicodedata uuid warnings weakref wave
    zipfile
    """
)
"""The few modules of a corpus for tests."""
