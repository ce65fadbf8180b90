"""People across chats."""

from __future__ import annotations

import sqlite3

import pytest

from storage import accounts, gallery, jobs, ledger
from storage.accounts import Settings
from storage.group import Recorded
from storage.refusal import Refusal
from tests.storage import people
from tests.storage.people import GRANT, NOW, meet

Tx = sqlite3.Connection


def test_a_stranger_gets_an_account_and_one_grant(tx: Tx) -> None:
    """Meeting again finds the same one, and gives nothing."""
    first = accounts.meet(tx, "discord:1", "es", NOW, grant=GRANT)
    again = accounts.meet(tx, "discord:1", "en", NOW + 9, grant=GRANT)
    assert first == again
    assert (first.language, first.unlimited, first.weight, first.created) == ("es", False, 1.0, NOW)
    assert ledger.balance(tx, first.id) == GRANT
    assert accounts.get(tx, first.id) == first
    assert accounts.find(tx, "discord:2") is None


def test_the_owner_is_unlimited_also_when_met_before(tx: Tx) -> None:
    """The flag is never taken away by a meeting without it."""
    me = accounts.meet(tx, accounts.OWNER, "en", NOW, grant=0)
    assert accounts.meet(tx, accounts.OWNER, "en", NOW, grant=0, unlimited=True).unlimited
    assert accounts.meet(tx, accounts.OWNER, "en", NOW, grant=0).unlimited
    assert not me.unlimited


def test_an_account_id_comes_from_a_row(tx: Tx) -> None:
    """An unknown one is a bug, not an answer."""
    with pytest.raises(LookupError):
        accounts.get(tx, 404)


def test_settings_are_kept_and_the_language_is_theirs(tx: Tx) -> None:
    """What a person chose wins over what their chat says."""
    me = meet(tx)
    wanted = Settings(style="3d", count=2, guidance=3.5, language="es")
    accounts.save_settings(tx, me, wanted)
    assert accounts.get(tx, me).defaults == wanted
    assert accounts.get(tx, me).language == "es"


def test_settings_of_a_newer_program_are_read_without_them(tx: Tx) -> None:
    """An unknown field is no error."""
    me = meet(tx)
    tx.execute("""UPDATE account SET settings = '{"count": 3, "hologram": true}'""")
    assert accounts.get(tx, me).defaults == Settings(count=3)


# --- links


def test_a_code_joins_a_second_chat(tx: Tx) -> None:
    """Typed in any case, with spaces or dashes; jobs and pictures come along, credits do not."""
    me, other = meet(tx, "discord:1"), meet(tx, "telegram:2")
    job = people.done(tx, other)
    code = accounts.link_code(tx, me, NOW)
    assert len(code) == accounts.CODE_LENGTH
    joined = accounts.redeem(tx, f"{code[:4].lower()}-{code[4:]} ", "telegram:2", NOW)
    assert joined.id == me
    assert accounts.who_of(tx, me) == ("discord:1", "telegram:2")
    assert [j.id for j in jobs.mine(tx, me, 9)] == [job.id]
    assert len(gallery.mine(tx, me, 9)) == 4
    assert ledger.balance(tx, me) == GRANT


def test_a_refund_goes_to_whoever_paid(tx: Tx) -> None:
    """Linking with a job in the queue and cancelling it moves no credit between accounts."""
    me, puppet = meet(tx, "discord:1"), meet(tx, "web:2")
    job = people.submit(tx, puppet)
    accounts.redeem(tx, accounts.link_code(tx, me, NOW), "web:2", NOW)
    cancelled = jobs.cancel(tx, job.id, NOW)
    assert cancelled is not None
    assert cancelled.account == me
    assert ledger.balance(tx, me) == GRANT
    assert ledger.balance(tx, puppet) == GRANT


def test_who_has_another_chat_left_leaves_their_things_there(tx: Tx) -> None:
    """Only an account that nobody could reach any more is emptied."""
    me, other = meet(tx, "discord:1"), meet(tx, "telegram:2")
    accounts.redeem(tx, accounts.link_code(tx, other, NOW), "web:3", NOW)
    people.done(tx, other)
    accounts.redeem(tx, accounts.link_code(tx, me, NOW), "web:3", NOW)
    assert accounts.who_of(tx, other) == ("telegram:2",)
    assert len(jobs.mine(tx, other, 9)) == 1


def test_jobs_with_the_same_key_do_not_stop_a_link(tx: Tx) -> None:
    """Both are there, and each can be ended."""
    me, other = meet(tx, "discord:1"), meet(tx, "telegram:2")
    for person in (me, other):
        people.submit(tx, person, "same")
    accounts.redeem(tx, accounts.link_code(tx, me, NOW), "telegram:2", NOW)
    both = jobs.mine(tx, me, 9)
    assert len(both) == 2
    assert all(jobs.cancel(tx, job.id, NOW) for job in both)
    assert ledger.audit(tx) == ()


@pytest.mark.parametrize("later", [accounts.CODE_SECONDS, 10**6])
def test_a_code_is_good_for_ten_minutes(tx: Tx, later: float) -> None:
    """And not a second more."""
    code = accounts.link_code(tx, meet(tx), NOW)
    with pytest.raises(Refusal, match="link_expired"):
        accounts.redeem(tx, code, "web:1", NOW + later)


def test_a_code_is_good_once(tx: Tx) -> None:
    """The second redemption is refused, and so is the code before the newest."""
    me = meet(tx)
    older, code = accounts.link_code(tx, me, NOW), accounts.link_code(tx, me, NOW)
    accounts.redeem(tx, code, "web:1", NOW)
    for used in (code, older):
        with pytest.raises(Refusal, match="link_expired"):
            accounts.redeem(tx, used, "web:2", NOW)


def test_guessing_is_refused_after_five_tries_and_the_tries_stay(tx: Tx) -> None:
    """A wrong code is a Recorded refusal: its transaction is kept, so that the try counts."""
    code = accounts.link_code(tx, meet(tx), NOW)
    for _ in range(accounts.TRIES):
        with pytest.raises(Recorded, match="link_expired"):
            accounts.redeem(tx, "AAAAAAAA", "web:1", NOW)
    with pytest.raises(Refusal, match="link_tries") as refused:
        accounts.redeem(tx, code, "web:1", NOW + 1)
    assert refused.value.values == {"until": NOW + accounts.CODE_SECONDS}
    assert accounts.redeem(tx, accounts.link_code(tx, 1, NOW + 601), "web:1", NOW + 601)


def test_codes_are_made_five_times_in_ten_minutes(tx: Tx) -> None:
    """Each of them different; a clock that was in the future does not lock anybody out."""
    me = meet(tx)
    assert len({accounts.link_code(tx, me, NOW + 10**7) for _ in range(5)}) == 5
    with pytest.raises(Refusal, match="link_tries"):
        accounts.link_code(tx, me, NOW + 10**7)
    assert accounts.link_code(tx, me, NOW)


def test_the_owner_is_not_handed_into_somebody_elses_account(tx: Tx) -> None:
    """Redeeming a stranger's code would give them the owner's pictures."""
    stranger = meet(tx, "discord:1")
    meet(tx, accounts.OWNER, owner=True)
    with pytest.raises(Refusal, match="link_owner"):
        accounts.redeem(tx, accounts.link_code(tx, stranger, NOW), accounts.OWNER, NOW)


def test_redeeming_ones_own_code_changes_nothing(tx: Tx) -> None:
    """Nothing to join."""
    me = meet(tx)
    assert accounts.redeem(tx, accounts.link_code(tx, me, NOW), "discord:1", NOW).id == me


def test_unlinking_leaves_the_last_chat_in_place(tx: Tx) -> None:
    """An account that nobody reaches is lost; whoever left starts anew, without a second grant."""
    me = meet(tx, "discord:1")
    meet(tx, "web:2")
    accounts.redeem(tx, accounts.link_code(tx, me, NOW), "web:2", NOW)
    assert accounts.unlink(tx, "web:2", NOW)
    assert not accounts.unlink(tx, "discord:1", NOW)
    assert not accounts.unlink(tx, "nobody:0", NOW)
    anew = meet(tx, "web:2")
    assert anew != me
    assert ledger.balance(tx, anew) == 0


def test_neither_codes_nor_ids_are_readable_outside_the_identities(tx: Tx) -> None:
    """Ledger keys, codes and tries hold salted hashes: forgetting a person can be done."""
    me = meet(tx, "discord:80351110224678912")
    code = accounts.link_code(tx, me, NOW)
    with pytest.raises(Recorded):
        accounts.redeem(tx, "WRONGCODE", "telegram:5550000001", NOW)
    dump = "".join(line for line in tx.iterdump() if 'INTO "identity"' not in line)
    assert "80351110224678912" not in dump
    assert "5550000001" not in dump
    assert code not in dump
