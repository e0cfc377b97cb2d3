"""Parse and write WebSocket frames (RFC 6455), by the websockets library without its I/O."""

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol as Framing


class Frames(Framing):
    """The parser of the library, with two changes.

    A peer may close in the middle of a message (RFC 6455, section 5.4), and pings are handed out
    instead of answered, so that their number can be limited.
    """

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame that was parsed."""
        if frame.opcode is Opcode.PING:
            self.events.append(frame)
            return
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


def text_frame(text: str) -> bytes:
    """Return an unmasked text frame."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


def framed_size(size: int) -> int:
    """Return the size of a masked frame, from that of its payload (RFC 6455, section 5.2)."""
    return size + (6 if size < 126 else 8 if size < 65536 else 14)
