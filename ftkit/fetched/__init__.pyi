from .catalogue import SOURCES as SOURCES
from .catalogue import Fetched as Fetched
from .catalogue import fetch as fetch
from .catalogue import find as find
from .reviews import KINDS as KINDS
