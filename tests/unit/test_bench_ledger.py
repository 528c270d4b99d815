"""The books of a load run notice whatever goes wrong."""

import pytest

from tests.bench.ledger import Ledger, Verdict, total


def ledger(*received: tuple[int, int], stored: dict[int, int], sent: int) -> Ledger:
    books = Ledger()
    books.sent = sent
    books.stored.update(stored)
    for number, seq in received:
        books.receive(number, seq)
    return books


def test_everything_once_and_in_order_is_clean() -> None:
    books = ledger((10, 1), (11, 2), stored={10: 1, 11: 2}, sent=2)
    assert books.settled
    assert books.verdict() == Verdict(2, 2, 2, 0, 0, 0, 0, 0)
    assert books.verdict().clean


def test_what_is_still_under_way_is_not_settled() -> None:
    assert not ledger((10, 1), stored={}, sent=1).settled
    assert not ledger(stored={10: 1}, sent=1).settled


@pytest.mark.parametrize(
    ("books", "wrong"),
    [
        (ledger((10, 1), stored={10: 1, 11: 2}, sent=2), "lost"),
        (ledger((10, 1), (10, 1), stored={10: 1}, sent=1), "repeated"),
        (ledger((11, 2), (10, 1), stored={10: 1, 11: 2}, sent=2), "out_of_order"),
        (ledger((10, 1), (12, 3), stored={10: 1, 12: 3}, sent=2), "out_of_order"),
        (ledger((10, 1), stored={10: 2}, sent=1), "out_of_order"),
        (ledger((10, 1), stored={10: 1}, sent=2), "unanswered"),
    ],
)
def test_what_is_wrong_is_counted(books: Ledger, wrong: str) -> None:
    verdict = books.verdict()
    assert getattr(verdict, wrong) > 0
    assert not verdict.clean


def test_books_add_up() -> None:
    one, other = Verdict(1, 2, 3, 4, 5, 6, 7, 8), Verdict(10, 20, 30, 40, 50, 60, 70, 80)
    assert total([one, other]) == Verdict(11, 22, 33, 44, 55, 66, 77, 88)
