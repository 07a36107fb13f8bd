"""What a request is answered with when it is not done."""


class Refusal(Exception):
    """An HTTP status and one line of why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
