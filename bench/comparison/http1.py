"""As much HTTP/1.1 as a load generator and a stand-in need: messages with a Content-Length, one at a time."""

_END = b"\r\n\r\n"


def message_end(buffer: bytes | bytearray) -> int:
    """Return where the first message in the buffer ends, or 0 while it is not all there."""
    head = buffer.find(_END)
    if head < 0:
        return 0
    end = head + len(_END) + _body_length(bytes(buffer[:head]).lower())
    return end if len(buffer) >= end else 0


def _body_length(head: bytes) -> int:
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        return 0
    line_end = head.find(b"\r\n", at + 2)
    return int(head[at + 17 : line_end if line_end >= 0 else len(head)])
