"""Upstream credentials at rest: Fernet under the newest key, readable under every key still listed."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from gateway.presence.errors import EncryptionOff


class CredentialUnreadable(Exception):
    """No listed key opens a stored credential: was an encryption key removed too early?"""


class Cipher:
    """Encrypts with the first key, decrypts with any."""

    def __init__(self, keys: list[str]) -> None:
        """Take keys as `presence-gateway keys generate` prints them, the newest first.

        Raises:
            ValueError: a key is not 32 url-safe base64-encoded bytes.
        """
        self._newest = Fernet(keys[0]) if keys else None
        self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None

    @property
    def has_key(self) -> bool:
        """Whether anything can be encrypted."""
        return self._fernet is not None

    def encrypt(self, clear: str) -> str:
        """Encrypt a credential; an empty one stays empty.

        Raises:
            EncryptionOff: no key is configured.
        """
        if not clear:
            return ""
        if self._fernet is None:
            raise EncryptionOff
        return self._fernet.encrypt(clear.encode()).decode()

    def decrypt(self, sealed: str) -> str:
        """Decrypt a credential.

        Raises:
            CredentialUnreadable: no key opens it.
        """
        if not sealed:
            return ""
        if self._fernet is None:
            raise CredentialUnreadable
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise CredentialUnreadable from error

    def reseal(self, sealed: str) -> str:
        """Encrypt a stored credential under the newest key; what is so already comes back as it is.

        Raises:
            CredentialUnreadable: no key opens it.
        """
        if not sealed or self._is_newest(sealed):
            return sealed
        return self.encrypt(self.decrypt(sealed))

    def _is_newest(self, sealed: str) -> bool:
        try:
            return self._newest is not None and bool(self._newest.decrypt(sealed.encode()))
        except InvalidToken:
            return False
