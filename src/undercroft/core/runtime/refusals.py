"""Why a server was not reached: libpq keeps the server's SQLSTATE and OpenSSL's code to itself, asyncpg tells them."""

import asyncio
import ssl
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from undercroft.core.dialects.postgresql import PostgresqlDialect
from undercroft.errors import DatabaseUnavailable, UndercroftError
from undercroft.settings.urls import DatabaseUrl

UNTRUSTED = "check that ssl_ca is the authority of the server's certificate, and that the certificate names the host"


def reason(address: DatabaseUrl) -> UndercroftError | None:
    """Connect once more and return what refuses it; None where nothing does, or asyncpg is not there to ask."""
    with ThreadPoolExecutor(1) as thread:  # this one may have an event loop that runs
        return thread.submit(asyncio.run, _ask(address)).result()


async def _ask(address: DatabaseUrl) -> UndercroftError | None:
    try:
        engine = create_async_engine(
            address.sqlalchemy("asyncpg"), connect_args=address.connect_args("asyncpg"), poolclass=NullPool
        )
        async with engine.connect():
            return None
    except ssl.SSLCertVerificationError as error:
        return _because(DatabaseUnavailable("The server's certificate is not trusted", hint=UNTRUSTED), error)
    except (ImportError, UndercroftError):
        return None
    except Exception as error:  # noqa: BLE001 - whatever it is, it is only asked what it means
        meaning = PostgresqlDialect(engine.dialect).translate(error)
        return None if meaning is None else _because(meaning, error)


def _because(meaning: UndercroftError, error: Exception) -> UndercroftError:
    meaning.__cause__ = error
    return meaning
