#!/usr/bin/env python3
"""What the reader's arithmetic must give: the known answers of RFC 8032, what a strict verifier refuses, and shares that come back
from any that are left. Run by ./test."""
import base64, hashlib, io, pathlib, random, sys, tempfile, unittest
sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import wagon_code, wagon_parity, wagon_signature as ed

# RFC 8032, section 7.1: public key, message, signature.
KNOWN = [tuple(map(bytes.fromhex, line.split(","))) for line in (
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a,,"
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c,72,"
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025,af82,"
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a")]


class Signatures(unittest.TestCase):
    def test_known_answers_hold_and_no_bit_of_them_may_change(self):
        for key, message, signature in KNOWN:
            self.assertTrue(ed.verifies(key, signature, message))
            self.assertFalse(ed.verifies(key, signature, message + b"x"))
            for bit in range(0, 512, 37):
                changed = bytearray(signature)
                changed[bit // 8] ^= 1 << bit % 8
                self.assertFalse(ed.verifies(key, bytes(changed), message), bit)

    def test_a_second_spelling_of_a_signature_is_refused(self):
        key, message, signature = KNOWN[1]
        number = int.from_bytes(signature[32:], "little") + ed.L
        self.assertFalse(ed.verifies(key, signature[:32] + number.to_bytes(32, "little"), message))

    def test_what_is_no_point_or_a_second_spelling_of_one_is_refused(self):
        for number in (2, ed.P, ed.P + 1, 1 | 1 << 255, (ed.P - 1) | 1 << 255, (1 << 256) - 1):
            self.assertIsNone(ed.decoded(number.to_bytes(32, "little")), hex(number))
        self.assertEqual(ed.decoded((1).to_bytes(32, "little")), (0, 1, 1, 0))

    def test_a_key_of_small_order_which_would_sign_anything_is_refused(self):
        neutral = (1).to_bytes(32, "little")
        for key in (neutral, (ed.P - 1).to_bytes(32, "little"), bytes(32)):
            self.assertIsNotNone(ed.decoded(key))
            self.assertFalse(ed.verifies(key, neutral + bytes(32), b"anything"))

    def test_what_is_no_key_is_refused_with_its_name(self):
        with tempfile.NamedTemporaryFile() as file:
            for content in (b"", b"\n\n", b"untrusted comment: x\n", b"untrusted comment: x\n" + base64.b64encode(bytes(42)), b"x" * 5000):
                file.seek(0)
                file.truncate()
                file.write(content)
                file.flush()
                self.assertRaises(ed.Distrusted, ed.public_key, file.name)


class Codes(unittest.TestCase):
    def test_symbols_are_multiplied_as_the_numbers_that_they_stand_for(self):
        # 1 is one; the squares of the basis go down by one: v² + v is the one before it.
        self.assertEqual(len(set(wagon_code.EXP)), 65535)
        for bit in range(1, 16):
            power = wagon_code.LOG[1 << bit]
            square = wagon_code.NUMBER[wagon_code.EXP[2 * power % 65535]]
            self.assertEqual(square ^ 1 << bit, 1 << bit - 1)

    def test_one_parity_share_is_the_exclusive_or(self):
        shares = [random.randbytes(64) for _ in range(9)]
        of_all = wagon_code.Code(1).parity(((n, wagon_code.taken_in(s)) for n, s in enumerate(shares)), [0], 64)[0]
        wanted = bytes(64)
        for share in shares:
            wanted = bytes(map(lambda a, b: a ^ b, wanted, share))
        self.assertEqual(wagon_code.given_out(of_all, 64), wanted)

    def test_any_blocks_come_back_up_to_as_many_as_there_is_parity(self):
        random.seed(1)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.par"
            for length, percent in ((0, 1), (1, 50), (4096, 5), (4097, 5), (300_000, 7), (1_500_000, 12), (1_000_000, 50)):
                content = random.randbytes(length)
                claim = wagon_parity.Claim(percent, length, hashlib.sha256(content).hexdigest())
                stored = list(wagon_parity.stored_blocks(io.BytesIO(content), claim))
                (_, layout), = wagon_parity.spans(claim)
                for round in range(4):
                    of_parity = random.randrange(layout.parity + 1)
                    of_file = layout.parity - of_parity
                    damaged, left = bytearray(content), stored[:]
                    for block in random.sample(range(layout.data), of_file):
                        damaged[block * 4096:block * 4096 + 4] = b"lost"[:max(0, length - block * 4096)]
                    for block in random.sample(range(layout.stored), of_parity):
                        left[block] = random.randbytes(4096)
                    random.shuffle(left)
                    path.write_bytes(b"".join(left))
                    mended = io.BytesIO()
                    wagon_parity.Parity(path, "").mend(io.BytesIO(damaged), mended)
                    self.assertEqual(mended.getvalue(), content)


if __name__ == "__main__":
    unittest.main()
