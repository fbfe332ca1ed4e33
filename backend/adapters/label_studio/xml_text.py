"""XML that others wrote, read within bounds: a few megabytes of tags would otherwise become gigabytes of objects."""

from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from backend.errors import BadRequest

MAX_DEPTH = 50
"""Tags within tags. Label configs have about 10, and a taxonomy a few more; what reads them calls itself by level."""


class _Bounded(TreeBuilder):
    """Builds a tree, and stops as soon as it has too many tags or levels."""

    def __init__(self, max_tags: int) -> None:
        super().__init__()
        self._max_tags = max_tags
        self._n_tags = 0
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        """A tag begins."""
        self._n_tags += 1
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise BadRequest(f"its tags are nested more than {MAX_DEPTH} deep")
        if self._n_tags > self._max_tags:
            raise BadRequest(f"it has more than {self._max_tags:,} tags")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        """A tag ends."""
        self._depth -= 1
        return super().end(tag)


def read_xml(text: str, max_tags: int) -> Element:
    """The root of an XML document that declares no entities and refers to nothing outside.

    Raises:
        BadRequest: it isn't XML, or beyond the bounds; the message says which, and goes on after "The XML can't be
            used: ".
    """
    parser = DefusedXMLParser(target=_Bounded(max_tags))
    try:
        parser.feed(text)
        root: Element = parser.close()
    except DefusedXmlException as error:
        # Its own words repeat what was declared.
        raise BadRequest(f"it declares or fetches something ({type(error).__name__})") from error
    except UnicodeEncodeError as error:
        raise BadRequest("it has half a character (a lone surrogate)") from error
    except (ParseError, ValueError) as error:
        raise BadRequest(str(error)) from error
    return root
