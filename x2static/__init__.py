"""x2static: static word vectors distilled from contextual language models. The one name users import."""

from schemas.errors import X2StaticError
from schemas.vectors import WordVectors

__all__ = ["WordVectors", "X2StaticError"]
