"""A meeting pushed to the CRM: outside of any transaction, and counted there once."""

import asyncio
import logging
from collections.abc import Generator
from uuid import UUID

from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.errors import UndercroftError
from undercroft.meetings import ops
from undercroft.meetings.records import Meeting, Push
from undercroft.meetings.rules import storable

logger = logging.getLogger("undercroft")

_GIVEN_UP = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)
"""What tells nothing about the meeting: the worker itself is to stop."""


def pushing(
    ports: Ports, meeting: UUID, *, lease: UUID | None = None, for_seconds: float = 60
) -> Generator[Push, None, None]:
    """Hold a summarised meeting while the block pushes it to the CRM; it is pushed when the block ends.

    ``lease`` is that of a worker who has claimed it. Where the block raises, the meeting has failed with that error,
    which goes on to the caller; where the worker is told to stop, the next one gets it at once. If the process dies,
    the next one gets it after ``for_seconds``, with the same key for the CRM.

    Raises:
        MeetingHeld: another worker has it, or got it because the block took longer than ``for_seconds``.
        IllegalTransition: it is not summarised; pushed already, perhaps.
        NotFound: the tenant has no such meeting.
    """
    held: Meeting = ports.run(_HOLD, meeting, "summarised", lease=lease, for_seconds=for_seconds)
    push = Push(held, f"undercroft-{held.id}", held.crm_connection_id)
    try:
        yield push
    except BaseException as error:
        try:
            if isinstance(error, _GIVEN_UP):
                ports.run(_RELEASE, meeting, lease=held.held_by)
            else:
                ports.run(_FAIL, meeting, storable(error), lease=held.held_by)
        except UndercroftError as unwritten:
            logger.warning("how the push of meeting %s ended is not written down: %s", meeting, unwritten)
        raise
    ports.run(
        _ADVANCE,
        meeting,
        "pushed",
        lease=held.held_by,
        crm_connection_id=push.connection,
        crm_external_id=push.external_id,
        crm_result=push.result,
    )


_HOLD = operation(ops.hold)
_ADVANCE = operation(ops.advance)
_FAIL = operation(ops.fail)
_RELEASE = operation(ops.release)
