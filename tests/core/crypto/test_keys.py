"""Device keys and epoch secrets sealed from device to device."""

from __future__ import annotations

import nacl.bindings as sodium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.crypto import signing
from bide.crypto.keys import GrantBroken, new_device_keys, open_grant, seal_grant
from bide.crypto.sealing import epoch_id
from bide.testing import SeededRandomness

SAM, ROBIN = new_device_keys(SeededRandomness("sam")), new_device_keys(SeededRandomness("robin"))
PARENT = b"\x05" * 32
SECRET = b"\x06" * 32
BOX = seal_grant(SECRET, recipient=ROBIN.device_id, sealing_key=ROBIN.sealing_key, parent=PARENT)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_grant_opens_for_whom_it_was_sealed(secret: bytes, parent: bytes) -> None:
    box = seal_grant(secret, recipient=ROBIN.device_id, sealing_key=ROBIN.sealing_key, parent=parent)
    assert open_grant(box, keys=ROBIN, parent=parent) == secret


def test_a_grant_opens_for_nobody_else() -> None:
    with pytest.raises(GrantBroken):
        open_grant(BOX, keys=SAM, parent=PARENT)


def test_a_grant_cannot_be_moved_into_another_statement() -> None:
    with pytest.raises(GrantBroken):
        open_grant(BOX, keys=ROBIN, parent=bytes(32))


def test_a_grant_names_its_recipient() -> None:
    """A box that was sealed to Robin's key but says that it is for Sam is refused."""
    box = seal_grant(SECRET, recipient=SAM.device_id, sealing_key=ROBIN.sealing_key, parent=PARENT)
    with pytest.raises(GrantBroken):
        open_grant(box, keys=ROBIN, parent=PARENT)


def test_a_grant_with_another_epochs_name_is_refused() -> None:
    plain = SECRET + epoch_id(bytes(32)) + ROBIN.device_id + PARENT
    with pytest.raises(GrantBroken):
        open_grant(sodium.crypto_box_seal(plain, ROBIN.sealing_key), keys=ROBIN, parent=PARENT)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_as_a_grant(box: bytes) -> None:
    with pytest.raises(GrantBroken):
        open_grant(box, keys=ROBIN, parent=PARENT)


@given(st.binary(max_size=130))
def test_any_bytes_sealed_to_the_right_key_are_refused(plain: bytes) -> None:
    with pytest.raises(GrantBroken):
        open_grant(sodium.crypto_box_seal(plain, ROBIN.sealing_key), keys=ROBIN, parent=PARENT)


def test_every_altered_byte_is_refused() -> None:
    for offset in range(len(BOX)):
        altered = bytearray(BOX)
        altered[offset] ^= 0x01
        with pytest.raises(GrantBroken):
            open_grant(bytes(altered), keys=ROBIN, parent=PARENT)


def test_keys_are_new_each_time() -> None:
    source = SeededRandomness()
    assert new_device_keys(source) != new_device_keys(source)


@given(st.binary(max_size=100), st.binary(min_size=32, max_size=32))
def test_a_signature_verifies_for_its_key_alone(message: bytes, seed: bytes) -> None:
    signature = signing.sign(message, seed)
    assert signing.verify(message, signature, signing.public_key(seed))
    assert not signing.verify(message + b"\0", signature, signing.public_key(seed))
    assert not signing.verify(message, signature, SAM.device_id)


@given(st.binary(max_size=70), st.binary(max_size=40))
def test_any_bytes_are_no_signature_and_no_error(signature: bytes, key: bytes) -> None:
    assert not signing.verify(b"message", signature, key)


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_small_order_keys_never_verify(key: bytes) -> None:
    """Under such a key, R = identity and S = 0 would be a signature over everything."""
    assert not signing.verify(b"anything", b"\x01" + bytes(63), key)
