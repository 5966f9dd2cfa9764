"""Encoding beside computation: a row is compressed in a thread of its own while the next one is computed."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from spinlock.storage import EncodedRow

Encode = Callable[[], EncodedRow]


def encoded_beside(rows: Iterator[Encode], most: int = 2) -> Generator[EncodedRow, None, None]:
    """Yield the encoded rows in order; at most ``most`` are in memory, computed and not yet handed on.

    What an encoding raises is raised here, in its turn. Closing the generator waits for the row at work.

    Parameters
    ----------
    rows
        Computes a row whenever it is asked for the next, and gives the call that encodes it.
    """
    ahead: deque[Future[EncodedRow]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="spinlock-encoding") as pool:
        try:
            while (encode := next(rows, None)) is not None:
                ahead.append(pool.submit(encode))
                del encode  # it holds the arrays of its row, and the next one is computed now
                if len(ahead) >= most:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
